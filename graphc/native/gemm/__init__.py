"""Matrix products: tiles in registers, packed panels, blocks for threads, and epilogues."""
