"""What a user touches: `InfraMind`, its configuration, and the command line."""
