"""What happened: records, stores and export."""
