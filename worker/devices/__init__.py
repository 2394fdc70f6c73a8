"""The models and the devices they run on: processes of their own, fed with groups of segments."""
