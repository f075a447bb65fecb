"""Croissant metadata (JSON-LD), so that dataset search and loaders understand the folder.

Format: MLCommons Croissant 1.1 (formats.md section 8.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from incidents.exports.card import WARNING
from incidents.exports.feedback import FeedbackSet
from incidents.exports.files import DataFile
from incidents.exports.shapes import as_dtype

CROISSANT = "croissant.json"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
_TYPES = {pl.String(): "sc:Text", pl.Boolean(): "sc:Boolean", pl.Float64(): "sc:Float"}


def build_croissant(feedback: FeedbackSet, files: Sequence[DataFile]) -> dict[str, Any]:
    """The metadata document: every file with its hash, one record set per split that has rows.

    Args:
        feedback: The set.
        files: The training files in the split's order, then any others.
    """
    exporter = feedback.recipe.exporter
    newest = feedback.label_snapshot_at
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        "name": f"weir-{exporter.key}",
        "description": f"{exporter.description} {WARNING}",
        "license": "https://spdx.org/licenses/LicenseRef-internal-use",
        "url": "./",
        "citeAs": f"Weir feedback set: {exporter.title}. Its manifest.json names the data that it was made from.",
        "version": "1.0.0",
        "creator": {"@type": "sc:Organization", "name": "Weir"},
        # The date of the newest verdict: the day of the build would make equal sets differ.
        **({"datePublished": newest.date().isoformat()} if newest else {}),
        "rai:dataCollection": "Logged turns of language models, judged by trust-and-safety reviewers.",
        "rai:dataAnnotationProtocol": "Majority of the reviewers' latest votes, counted in provenance.jsonl.",
        "rai:personalSensitiveInformation": "Rows with obvious personal data were refused; other may remain.",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": file.name,
                "name": file.name,
                "contentUrl": file.name,
                "contentSize": f"{len(file.content)} B",
                "encodingFormat": "application/jsonlines",
                "sha256": file.sha256,
            }
            for file in files
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": name,
                "name": name,
                "field": [_field(name, file.name, column, dtype) for column, dtype in exporter.columns.items()],
            }
            for name, file in zip(feedback.recipe.split, files, strict=False)
            if file.rows
        ],
    }


def _field(parent: str, file: str, name: str, dtype: pl.DataType, *, path: str = "") -> dict[str, Any]:
    """A column, or with `path` (JSON path within its column) a part of one."""
    column, _, _ = path.partition("$")
    own = path or f"{name}$"
    field: dict[str, Any] = {"@type": "cr:Field", "@id": f"{parent}/{name}", "name": name}
    if "[*]" in own or isinstance(dtype, pl.List):
        field |= {"isArray": True, "arrayShape": "-1"}
    inner = dtype.inner if isinstance(dtype, pl.List) else dtype
    if isinstance(inner, pl.Struct):
        step = "[*]" if isinstance(dtype, pl.List) else ""
        return field | {
            "subField": [
                _field(f"{parent}/{name}", file, part.name, as_dtype(part.dtype), path=f"{own}{step}.{part.name}")
                for part in inner.fields
            ]
        }
    source = _source(file, column or name)
    nested = own.partition("$")[2]
    if nested:
        source |= {"transform": {"jsonPath": f"${nested}"}}
    return field | {"dataType": _TYPES[as_dtype(inner)], "source": source}


def _source(file: str, column: str) -> dict[str, Any]:
    return {"fileObject": {"@id": file}, "extract": {"column": column}}
