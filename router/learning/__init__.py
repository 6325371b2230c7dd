"""How policies learn: samples from traces, critics, quality, calibration, checkpoints."""
