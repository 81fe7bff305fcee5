import json
def collect(context, seconds):
    return {"versions": context.setup.versions, "skipped": context.setup.skipped, "failures": context.failures, "seconds": seconds, "results": context.results}
def write(results, folder):
    folder.mkdir(parents=True, exist_ok=True)
    (folder/"results.json").write_text(json.dumps(results, indent=1))
