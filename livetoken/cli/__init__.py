"""`python -m livetoken`: the commands that people and scripts run. Nothing here is deployed."""
