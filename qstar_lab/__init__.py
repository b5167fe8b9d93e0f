"""The lab: a tiny model in which thinking demonstrably works, trained from scratch and measured."""
