"""Feedback sets: people's decisions as training rows, one module per format over shared steps.

To add a format: one module that defines `EXPORTER`, and one line here.
"""

from core.registry import Registry
from incidents.exports import classifier, trl_kto, trl_preference
from incidents.exports.exporter import Exporter

EXPORTS: Registry[Exporter] = Registry(
    "export",
    trl_preference.EXPORTER,
    trl_kto.EXPORTER,
    classifier.EXPORTER,
)
