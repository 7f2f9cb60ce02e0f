"""Fails if an example of the API's description does not fit the schema beside it."""

import json
import sys

import jsonschema_rs

with open(sys.argv[1]) as file:
    DOCUMENT = json.load(file)

seen, wrong = 0, []


def resolve(value):
    while "$ref" in value:
        target = DOCUMENT
        for part in value["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        value = target
    return value


def look(place, content):
    global seen
    for media in content.values():
        examples = [media["example"]] if "example" in media else []
        examples += [resolve(example)["value"] for example in media.get("examples", {}).values()]
        schema = {**media["schema"], "components": DOCUMENT["components"]}
        validator = jsonschema_rs.Draft202012Validator(schema)
        for example in examples:
            seen += 1
            wrong.extend(f"{place}: {error}" for error in validator.iter_errors(example))


for path, methods in DOCUMENT["paths"].items():
    for method, operation in methods.items():
        look(f"{method} {path}", operation.get("requestBody", {}).get("content", {}))
        for status, response in operation["responses"].items():
            look(f"{method} {path} {status}", resolve(response).get("content", {}))

print(f"{seen} examples", *wrong, sep="\n")
sys.exit(1 if wrong or seen < 100 else 0)
