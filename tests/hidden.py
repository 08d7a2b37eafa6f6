"""Characters that cannot be seen although they are letters or marks."""

HIDDEN = frozenset(
    chr(code)
    for codes in (
        *((0x034F,), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180C, 0x180D, 0x180F)),
        *((0x3164,), range(0xFE00, 0xFE10), (0xFFA0,), range(0xE0100, 0xE01F0)),
    )
    for code in codes
)
"""Those of Default_Ignorable_Code_Point that are Lo or Mn, in Unicode 14 to 16."""
