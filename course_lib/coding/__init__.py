"""From probabilities to bytes and back: what a codec's encoder and decoder share.

    y ── prior ──► density ── once, after training ──► tables ─┐
                                                               ▼
    symbols (C, …) ─────────────────────────────────► range_coding ──► container ──► a file
                                                               ▲
    bits of planes ── adaptive, bitplanes ── what was seen ────┤
    what is decoded ── exact: a network of whole numbers ──────┘

Encoder and decoder must hold the same probabilities to the last bit, or every symbol after the
first difference is wrong. Floating-point arithmetic is not the same everywhere, so densities
are turned into integers once (`tables.integer_table`) and stored with the weights, what is
adapted while coding (`adaptive.AdaptiveBits`) is integer arithmetic, and a network that is asked
while coding (`exact.Conv`) computes with whole numbers alone.

Read in this order: `tables`, `range_coding`, `adaptive`, `bitplanes`, `prior`, `exact`,
`container`.
Nothing is imported here: import a name from the module that holds it.
"""
