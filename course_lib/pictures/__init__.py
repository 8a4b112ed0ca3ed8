"""Pictures of all kinds as what the course computes with: ``uint8 (H, W, 3)`` of sRGB.

    a file ──► metadata ──► its pixels alone ──► Pillow, tiff ──► levels, as they are ─┐
                  │                                                                    ▼
                  └── rotation, colours, transparency ─────────────────────► color, pixels ──► sRGB

`files` is the way in, and says what becomes of which kind of picture; `course_lib.images` is what
the rest of the course uses. Nothing is imported here.
"""
