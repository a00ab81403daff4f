"""What tests share that is not a fixture."""

#: Seconds after which something has hung: far more than anything takes on a busy machine.
HUNG = 900
