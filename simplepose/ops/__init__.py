"""The public operations, one file each, and the dispatch to their implementations (docs/design.md, Operations)."""
