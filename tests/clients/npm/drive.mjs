// The package `svix` from npm drives a server: node drive.mjs URL TOKEN. It may send to loopback.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { Webhook as StandardWebhook } from "standardwebhooks";
import { ApiException, Svix, Webhook } from "svix";

const [serverUrl, token] = process.argv.slice(2);
const svix = new Svix(token, { serverUrl });
const hour = 3_600_000;

/** A receiver that hands out what arrives, in turn. */
async function receive() {
  const arrived = [];
  let wake = () => {};
  const server = createServer(async (request, response) => {
    const parts = [];
    for await (const part of request) parts.push(part);
    arrived.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
    response.end();
    wake();
  });
  await new Promise((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    close: () => server.close(),
    async next() {
      while (!arrived.length) await new Promise((woken) => { wake = woken; });
      return arrived.shift();
    },
  };
}

async function refused(status, call) {
  await assert.rejects(call, (error) => error instanceof ApiException && error.code === status);
}

const receiver = await receive();
const uid = `npm-${process.pid}`;

// --- applications
const app = await svix.application.create({ name: "One", uid, metadata: { a: "b" } });
assert.equal((await svix.application.getOrCreate({ name: "Two", uid })).id, app.id);
assert.equal((await svix.application.upsert(uid, { name: "Three", uid })).name, "Three");
assert.equal((await svix.application.patch(uid, { throttleRate: 70 })).throttleRate, 70);
assert.deepEqual(app.metadata, { a: "b" });
const first = await svix.application.list({ limit: 1, order: "descending" });
const second = await svix.application.list({ limit: 1, order: "descending", iterator: first.iterator });
assert.notEqual(first.data[0].id, second.data[0].id);
assert(app.createdAt instanceof Date && Date.now() - app.createdAt < hour);
await refused(404, () => svix.application.get("nobody"));
await refused(409, () => svix.application.create({ name: "One", uid }));

// --- event types
const name = `npm.${process.pid}`;
const schemas = { 1: { type: "object", properties: { n: { type: "integer" } } } };
await svix.eventType.create({ name, description: "One", schemas });
assert.deepEqual((await svix.eventType.get(name)).schemas, schemas);
assert.equal((await svix.eventType.upsert(name, { description: "Two" })).description, "Two");
assert.equal((await svix.eventType.patch(name, { deprecated: true })).deprecated, true);
assert((await svix.eventType.list({ limit: 250 })).data.some((each) => each.name === name));
const document = { openapi: "3.1.0", info: { title: "T", version: "1" }, webhooks: { [`${name}.b`]: { post: {} } } };
await svix.eventType.importOpenapi({ spec: document });
assert.equal((await svix.eventType.get(`${name}.b`)).archived, false);

// --- endpoints
const wish = { url: receiver.url, uid: "hook", filterTypes: [name], channels: ["c"], headers: { "x-a": "1" } };
const endpoint = await svix.endpoint.create(uid, wish);
assert.deepEqual(endpoint.channels, ["c"]);
assert.equal((await svix.endpoint.get(uid, "hook")).id, endpoint.id);
assert.equal((await svix.endpoint.patch(uid, "hook", { description: "D" })).description, "D");
assert.equal((await svix.endpoint.upsert(uid, "hook", { url: receiver.url, filterTypes: [name] })).channels ?? null, null);
await svix.endpoint.setHeaders(uid, "hook", { headers: { "x-b": "2" } });
await svix.endpoint.patchHeaders(uid, "hook", { headers: { "x-c": "3" } });
assert.deepEqual((await svix.endpoint.getHeaders(uid, "hook")).headers, { "x-b": "2", "x-c": "3" });
assert.equal((await svix.endpoint.list(uid, { limit: 1 })).data.length, 1);
const { key } = await svix.endpoint.getSecret(uid, "hook");

// --- messages
assert.equal((await svix.message.precheck(uid, { eventType: name })).active, true);
const message = await svix.message.create(uid, { eventType: name, eventId: "e-1", payload: { n: 1, s: "æøå" } }, { withContent: true });
assert.deepEqual(message.payload, { n: 1, s: "æøå" });
let arrived = await receiver.next();
new Webhook(key).verify(arrived.body, arrived.headers);
assert.deepEqual(new StandardWebhook(key).verify(arrived.body, arrived.headers), { n: 1, s: "æøå" });
assert.equal(arrived.headers["x-c"], "3");
assert.throws(() => new Webhook(key).verify(`${arrived.body} `, arrived.headers));
const keyed = () => svix.message.create(uid, { eventType: name, payload: { n: 2 } }, { idempotencyKey: "k-1" });
assert.equal((await keyed()).id, (await keyed()).id);
assert.equal(JSON.parse((await receiver.next()).body).n, 2);
assert.equal((await svix.message.get(uid, "e-1")).id, message.id);
assert.equal((await svix.message.list(uid, { eventTypes: [name], limit: 250 })).data.length, 2);
await refused(422, () => svix.message.create(uid, { eventType: "no such name", payload: {} }));

// --- attempts
let [attempt] = (await svix.messageAttempt.listByMsg(uid, message.id)).data;
while (!attempt) [attempt] = (await svix.messageAttempt.listByMsg(uid, message.id)).data; // until it is recorded
assert.deepEqual([attempt.responseStatusCode, attempt.msgId], [200, message.id]);
assert.equal((await svix.messageAttempt.get(uid, message.id, attempt.id)).id, attempt.id);
assert((await svix.messageAttempt.listByEndpoint(uid, "hook")).data.length >= 1);
assert.equal((await svix.messageAttempt.listAttemptedMessages(uid, "hook", { limit: 250 })).data.length, 2);
assert.equal((await svix.messageAttempt.listAttemptedDestinations(uid, message.id)).data[0].id, endpoint.id);
await svix.messageAttempt.resend(uid, message.id, "hook");
assert.equal((await receiver.next()).headers["webhook-id"], message.id);
await svix.messageAttempt.expungeContent(uid, message.id, attempt.id);
assert.equal((await svix.endpoint.getStats(uid, "hook")).fail, 0);

// --- tests, secrets, and sending again
await svix.endpoint.sendExample(uid, "hook", { eventType: name });
assert.equal((await receiver.next()).headers["stafett-test"], "true");
await svix.endpoint.rotateSecret(uid, "hook", {});
assert.notEqual((await svix.endpoint.getSecret(uid, "hook")).key, key);
const since = new Date(Date.now() - hour);
for (const start of ["recover", "replayMissing", "bulkReplay"]) {
  const task = await svix.endpoint[start](uid, "hook", { since });
  assert.equal((await svix.backgroundTask.get(task.id)).id, task.id);
}
assert((await svix.backgroundTask.list({ limit: 250 })).data.length >= 3);
await svix.message.expungeContent(uid, message.id);
assert.deepEqual((await svix.message.bulkExpungeContent(uid, { ids: ["nobody"] })).results, { nobody: "not-found" });

// --- the whole installation
const exported = await svix.environment.export();
assert(exported.eventTypes.some((each) => each.name === name));
await svix.environment.import({ eventTypes: [{ name: `${name}.c`, description: "C" }] });

// --- and away
await svix.authentication.expireAll(uid, {});
await svix.endpoint.delete(uid, "hook");
for (const each of [name, `${name}.b`, `${name}.c`]) await svix.eventType.delete(each, { expunge: true });
await svix.application.delete(uid);
await refused(404, () => svix.application.get(uid));
receiver.close();
