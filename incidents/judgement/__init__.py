"""How well people judge, and how they stay well: second looks, golden items, adjudication, calibration, guidelines, wellness."""
