"""The results of a class for people: pages, gradebooks, marks by hand, a summary for CI.

It imports classroom's ``results`` and sandbox's ``hostile_text``: what stands in results comes from
submissions, and is cleaned and escaped where it is written.
"""
