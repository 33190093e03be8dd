"""Pictures of people and heatmaps."""
