"""`python -m livetoken smoke`: the proof that a deployment works. No part of what is deployed."""
