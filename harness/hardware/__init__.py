"""Register maps: one file per hardware block, as in its datasheet. Pure data, no I/O."""
