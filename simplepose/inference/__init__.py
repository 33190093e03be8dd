"""From images and videos to people."""
