"""The steps from one schema to the next, inside the wheel; `upgrade.py` runs them at opening."""
