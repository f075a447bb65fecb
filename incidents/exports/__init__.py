"""Feedback sets: people's decisions as training rows, one module per format over shared steps.

To add a format: one module that defines `EXPORTER`, and one line here.
"""

from core.registry import Registry
from incidents.exports import (
    argilla,
    balanced_errors,
    cai,
    classifier,
    label_studio,
    llama_guard,
    openai_dpo,
    openai_sft,
    reward_ranking,
    trl_kto,
    trl_preference,
    trl_prompt_only,
    trl_sft,
)
from incidents.exports.exporter import Exporter

EXPORTS: Registry[Exporter] = Registry(
    "export",
    trl_preference.EXPORTER,
    trl_kto.EXPORTER,
    trl_sft.EXPORTER,
    trl_prompt_only.EXPORTER,
    reward_ranking.EXPORTER,
    openai_sft.EXPORTER,
    openai_dpo.EXPORTER,
    classifier.EXPORTER,
    llama_guard.EXPORTER,
    cai.EXPORTER,
    balanced_errors.EXPORTER,
    label_studio.EXPORTER,
    argilla.EXPORTER,
)
