// Output for the search of faults: NODE_DEBUG=caster, and a channel for tools.
'use strict';

const { channel } = require('node:diagnostics_channel');
const util = require('node:util');

const events = channel('caster:event');
/** Only with the variable: the first call of `debuglog` takes half a millisecond. */
const log = process.env.NODE_DEBUG ? util.debuglog('caster') : Object.assign(() => {}, { enabled: false });

/** Whether a program sees what `observe` gets. */
const isObserved = () => events.hasSubscribers || log.enabled;

/** An event of a node, before its listeners get it. */
function observe(node, event) {
  if (events.hasSubscribers) {
    events.publish({ node, event });
  }
  if (log.enabled) {
    const about = event.node?.id ?? event.id ?? event.message ?? '';
    log('%s: %s %s %s', node.id, event.type, about, event.reason ?? '');
  }
}

/** A step of the life of a node. */
function trace(node, step) {
  log('%s: %s', node.id, step);
}

module.exports = { isObserved, observe, trace };
