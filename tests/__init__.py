"""The tests of MemCache; README.md says which goes where."""
