"""Fills in the chart of host/images/kubernetes/ and holds what comes out against Kubernetes' schemas.

The chart uses nothing of Helm's language but values by their path and lines that are there where a
value is, so that this is all it takes. Arguments: the folder, and a file of values over the chart's own
("-" for these alone). Prints the manifest; ends with 1, and says why, where the values or a document are
not as their schema has them.
"""

import json
import pathlib
import re
import sys

import jsonschema_rs
import kubernetes_validate
import yaml

VALUE = re.compile(r"\{\{ \.Values\.([A-Za-z.]+) \}\}")
IF = re.compile(r"\n *\{\{- if \.Values\.([A-Za-z]+) \}\}(.*?)\n *\{\{- end \}\}", re.DOTALL)
VERSION = "1.31"


def main(folder, values):
    chart = pathlib.Path(folder) / "chart"
    given = {} if values == "-" else yaml.safe_load(pathlib.Path(values).read_text())
    values = merged(yaml.safe_load((chart / "values.yaml").read_text()), given)
    schema = json.loads((chart / "values.schema.json").read_text())
    jsonschema_rs.validate(schema, values)
    text = (chart / "templates" / "mc2.yaml").read_text()

    def value(found):
        at = values
        for name in found[1].split("."):
            at = at[name]
        return str(at)

    text = IF.sub(lambda found: found[2] if values.get(found[1]) else "", text)
    manifest = VALUE.sub(value, text)
    if "{{" in manifest:
        raise ValueError("the chart uses more of Helm's language than values")
    documents = list(yaml.safe_load_all(manifest))
    for document in documents:
        kubernetes_validate.validate(document, VERSION, strict=True)
    print(manifest, end="")


def merged(values, over):
    """As Helm lays one file of values over another: a map over a map, and null takes away."""
    if not (isinstance(values, dict) and isinstance(over, dict)):
        return over
    merging = {name: merged(values.get(name), value) for name, value in over.items()}
    return {name: value for name, value in (values | merging).items() if value is not None}


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        sys.exit(1)
