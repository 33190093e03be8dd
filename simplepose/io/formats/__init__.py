"""Result files of `simplepose predict`: one module for each format, and their registry."""
