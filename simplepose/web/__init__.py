"""The page of `simplepose web`: people and maps of one picture in a browser."""
