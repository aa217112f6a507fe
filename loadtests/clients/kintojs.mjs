// Devices with kinto.js edit offline, meet in conflicts, delete, and survive a wiped server. What
// each synchronization tells, and what all hold in the end, is what kinto.js does with Kinto.
//
//   node kintojs.mjs SERVER_URL [SEED] [ROUNDS]
import "fake-indexeddb/auto";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { CASES } from "./conflicts.mjs";

// In its CommonJS form, which plain Node can load.
const module = createRequire(import.meta.url)("kinto");
const Kinto = module.default ?? module;

const [, , server, seedText = "1", roundsText = "6"] = process.argv;
const headers = { Authorization: "Basic " + Buffer.from("mat:secret").toString("base64") };
const BUCKET = "/buckets/kintojs";
const COLLECTION = `${BUCKET}/collections/tasks`;
const ID_SCHEMA = { generate: () => `g${Math.floor(random() * 1e9)}`, validate: () => true };
const LISTS = "errors conflicts created updated deleted skipped published resolved".split(" ");

// A small generator (mulberry32), so that a seed repeats a run.
let state = Number(seedText);
function random() {
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
}
const pick = (items) => items[Math.floor(random() * items.length)];

function device(name, strategy) {
  // Each device has a database of its own: without a name, all share one.
  const adapterOptions = { dbName: name };
  const kinto = new Kinto({ remote: server, bucket: "kintojs", adapterOptions, headers, retry: 0 });
  const one = { name, strategy, meanwhile: null };
  // Runs once, between the pull and the push of the next synchronization.
  const interrupt = async (payload) => {
    const action = one.meanwhile;
    one.meanwhile = null;
    await action?.();
    return payload;
  };
  const hooks = { "incoming-changes": [interrupt] };
  one.collection = kinto.collection("tasks", { idSchema: ID_SCHEMA, hooks });
  return one;
}

async function api(method, path, body) {
  const response = await fetch(server + path, {
    method,
    headers: { ...headers, ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body && JSON.stringify(body),
  });
  assert.ok(response.status < 400, `${method} ${path}: ${response.status}`);
  return response.json();
}

const byId = (a, b) => (a.id < b.id ? -1 : 1);
const plain = (records) => records.map(({ _status, last_modified, ...rest }) => rest).sort(byId);

// A tombstone that wins a conflict is kept as a record by kinto.js.
async function alive(one) {
  return (await one.collection.list()).data.filter((record) => !record.deleted).sort(byId);
}

// What a device holds, with the timestamps that the server gave.
async function local(one) {
  return (await alive(one)).map(({ _status, ...rest }) => {
    assert.equal(_status, "synced", `${one.name}: ${rest.id}`);
    return rest;
  });
}

async function remote() {
  const records = [];
  for (let next = `${server}${COLLECTION}/records`; next; ) {
    const response = await fetch(next, { headers });
    assert.equal(response.status, 200, next);
    records.push(...(await response.json()).data);
    next = response.headers.get("Next-Page");
  }
  return records.sort(byId);
}

// PUT first: a bucket that is not there may not be deleted.
async function wipe() {
  await api("PUT", BUCKET, {});
  await api("DELETE", BUCKET);
  await api("PUT", BUCKET, {});
  await api("PUT", COLLECTION, {});
}

// Synchronizes; tells how many records are in each list of the result.
async function sync(one) {
  const result = await one.collection.sync({ strategy: one.strategy });
  assert.deepEqual(result.errors, [], `${one.name}: errors of a sync`);
  const counted = LISTS.map((list) => [list, result[list].length]).filter(([, count]) => count > 0);
  return { result, told: Object.fromEntries(counted) };
}

async function edit(one) {
  const records = await alive(one);
  const kind = random();
  if (kind < 0.45 || records.length === 0) {
    await one.collection.create({ title: `${one.name} ${Math.floor(random() * 1000)}`, n: 0 });
  } else if (kind < 0.85) {
    const { _status, ...record } = pick(records);
    await one.collection.update({ ...record, n: (record.n ?? 0) + 1, by: one.name });
  } else {
    await one.collection.delete(pick(records).id);
  }
}

// Synchronizes until nobody has news; then all hold the same.
async function settle(devices, what) {
  const told = [];
  for (let round = 0; round < 3; round++) {
    for (const one of devices) told.push(JSON.stringify((await sync(one)).told));
  }
  assert.deepEqual(told.slice(-devices.length), devices.map(() => "{}"), `${what}: all is told`);
  const truth = await remote();
  for (const one of devices) assert.deepEqual(await local(one), truth, `${what}: ${one.name}`);
  console.log(`ok - ${what}: ${truth.length} records, the same everywhere`);
  console.log(`     ${told.slice(0, -devices.length).join(" ")}`);
}

const EDITS = {
  create: (one, id, n) => one.collection.create({ id, n }, { useRecordId: true }),
  change: (one, id, n) => one.collection.update({ id, n }),
  delete: (one, id) => one.collection.delete(id),
};

// One way to meet in a conflict, with each strategy.
async function conflict(what, { here, there, values: [mine, theirs] = [1, 2], race, ends }) {
  for (const [name, strategy] of Object.entries(Kinto.syncStrategy)) {
    if (!(name in ends)) continue;
    const one = device(`here: ${what}, ${name}`, strategy);
    const other = device(`there: ${what}, ${name}`, Kinto.syncStrategy.MANUAL);
    const id = `${what.replace(/\W+/g, "-")}-${name}`;
    await sync(one);
    await sync(other);
    if (here !== "create") {
      await EDITS.create(other, id, 0);
      assert.deepEqual((await sync(other)).told, { published: 1 });
      assert.deepEqual((await sync(one)).told, { created: 1 });
    }

    await EDITS[there](other, id, theirs);
    const publish = async () => assert.deepEqual((await sync(other)).told, { published: 1 });
    if (race) one.meanwhile = publish;
    else await publish();
    await EDITS[here](one, id, mine);
    const steps = [];
    const { result, told } = await sync(one);
    steps.push(told);
    for (const conflict of result.conflicts) {
      const { type, local, remote } = conflict;
      steps.push([type, ...plain([local]), remote && plain([remote])[0]]);
      // A record that is gone stays so: kinto.js alone has no way to settle that otherwise.
      if (remote === null || remote.deleted) await one.collection.delete(id, { virtual: false });
      else await one.collection.resolve(conflict, { id, n: 4 });
    }
    if (result.conflicts.length > 0) steps.push((await sync(one)).told);
    steps.push((await sync(other)).told);

    const truth = await remote();
    const final = truth.find((record) => record.id === id);
    steps.push(final ? final.n ?? "empty" : "gone");
    const expected = JSON.parse(JSON.stringify(ends[name]).replaceAll('"ID"', JSON.stringify(id)));
    assert.deepEqual(steps, expected, `${what}, ${name}: ${JSON.stringify(steps)}`);
    for (const device of [one, other]) assert.deepEqual(await local(device), truth, device.name);
  }
  console.log(`ok - ${what}`);
}
const local_of = local;

async function main() {
  await wipe();
  for (const [what, details] of Object.entries(CASES)) await conflict(what, details);

  await wipe();
  const laptop = device("laptop", Kinto.syncStrategy.CLIENT_WINS);
  const phone = device("phone", Kinto.syncStrategy.SERVER_WINS);
  const devices = [laptop, phone];
  await laptop.collection.create({ title: "first", n: 0 });
  await settle(devices, "a first record travels");
  for (let round = 1; round <= Number(roundsText); round++) {
    for (let edits = 0; edits < 8; edits++) await edit(pick(devices));
    await settle(devices, `offline edits and conflicts, round ${round}`);
  }

  // More than a page, and more than a batch.
  for (let n = 0; n < 60; n++) await laptop.collection.create({ title: `bulk ${n}`, n });
  assert.deepEqual((await sync(laptop)).told, { published: 60 });
  assert.deepEqual((await sync(phone)).told, { created: 60 });
  await settle(devices, "sixty records at once");

  const before = plain(await remote());
  await wipe();
  await assert.rejects(() => sync(laptop), /flushed/i, "a wiped server is noticed");
  await laptop.collection.resetSyncStatus();
  assert.deepEqual((await sync(laptop)).told, { published: before.length });
  await phone.collection.clear();
  assert.deepEqual((await sync(phone)).told, { created: before.length });
  await settle(devices, "a wiped server gets everything back from one device");
  assert.deepEqual(plain(await remote()), before, "what the wiped server got back");
}

main().then(
  () => console.log("kinto.js: all final states are equal"),
  (problem) => {
    console.error(problem);
    process.exitCode = 1;
  },
);
