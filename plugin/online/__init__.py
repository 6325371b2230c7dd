"""Learning while serving: which versions this process serves, who follows the roll-out, and who learns."""
