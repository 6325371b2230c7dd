"""Where policies are trained: sweeps over arrival rates, epoch after epoch, on any fleet."""
