"""Bulk prediction: inputs as shards, a Parquet file for each shard, and the launchers of its worker processes."""
