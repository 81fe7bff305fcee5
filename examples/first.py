import caster

with caster.Node(meta={"type": "printer"}) as node:
    for event in node.events():
        if isinstance(event, caster.Up):
            print(event.node.id, "is up", flush=True)
