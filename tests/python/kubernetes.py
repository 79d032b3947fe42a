"""Fills in the chart of host/images/kubernetes/ and holds what comes out against Kubernetes' schemas.

The chart uses nothing of Helm's language but values by their path, so that this is all it takes.
Arguments: the folder, and a file of values in place of the chart's own ("-" for these). Prints the
manifest; ends with 1, and says why, where the values or a document are not as their schema has them.
"""

import json
import pathlib
import re
import sys

import jsonschema_rs
import kubernetes_validate
import yaml

VALUE = re.compile(r"\{\{ \.Values\.([A-Za-z.]+) \}\}")
VERSION = "1.31"


def main(folder, values):
    chart = pathlib.Path(folder) / "chart"
    values = chart / "values.yaml" if values == "-" else pathlib.Path(values)
    values = yaml.safe_load(values.read_text())
    schema = json.loads((chart / "values.schema.json").read_text())
    jsonschema_rs.validate(schema, values)
    text = (chart / "templates" / "mc2.yaml").read_text()

    def value(found):
        at = values
        for name in found[1].split("."):
            at = at[name]
        return str(at)

    manifest = VALUE.sub(value, text)
    if "{{" in manifest:
        raise ValueError("the chart uses more of Helm's language than values")
    documents = list(yaml.safe_load_all(manifest))
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
    print(manifest, end="")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
