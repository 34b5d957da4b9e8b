import assert from "node:assert/strict";
import { test } from "node:test";
import { Restarts } from "../src/restarts";
import { fromServer, look, parseStatus, type State } from "../src/state";

test("the server's status is read; what is none is passed over", () => {
  assert.deepEqual(parseStatus({ state: "ready", message: "Ready" }), {
    state: "ready",
    message: "Ready",
    remedy: "",
  });
  assert.deepEqual(parseStatus({ state: "error", message: "m", remedy: "r" }), {
    state: "error",
    message: "m",
    remedy: "r",
  });
  assert.deepEqual(parseStatus({ state: "busy" }), { state: "busy", message: "", remedy: "" });
  for (const strange of [undefined, null, "ready", {}, { state: "sleeping" }, { state: 1, message: "m" }]) {
    assert.equal(parseStatus(strange), undefined);
  }
});

test("an error of the server keeps its remedy", () => {
  const state = fromServer({ state: "error", message: "No such model.", remedy: "Check parrotlet.model." });
  assert.deepEqual(look(state), {
    text: "$(error) Parrotlet",
    detail: "No such model. Check parrotlet.model.",
    alarming: true,
  });
  assert.notEqual(look(fromServer({ state: "error", message: "", remedy: "" })).detail, "");
});

test("every state has its own look, and only an error alarms", () => {
  const states: State[] = [
    { kind: "off" },
    { kind: "stopped", message: "" },
    { kind: "starting", message: "" },
    { kind: "ready", message: "" },
    { kind: "busy", message: "" },
    { kind: "error", message: "m", remedy: "" },
  ];
  const looks = states.map(look);
  assert.equal(new Set(looks.map(({ text }) => text)).size, states.length);
  assert.deepEqual(
    looks.map(({ alarming }) => alarming),
    [false, false, false, false, false, true],
  );
  assert.ok(looks.every(({ detail }) => detail !== ""));
});

test("a server that crashes again and again is left alone", () => {
  const restarts = new Restarts();
  const delays = [0, 1_000, 5_000, 20_000].map((now) => restarts.next(now));
  assert.ok(delays.slice(0, 3).every((delay) => delay !== undefined));
  assert.ok((delays[0] ?? 0) < (delays[1] ?? 0) && (delays[1] ?? 0) < (delays[2] ?? 0));
  assert.equal(delays[3], undefined);
});

test("crashes far apart are not a loop, and the user's wish starts the count anew", () => {
  const restarts = new Restarts();
  for (let hour = 0; hour < 10; hour++) {
    assert.notEqual(restarts.next(hour * 3_600_000), undefined);
  }
  for (let i = 0; i < 4; i++) {
    restarts.next(1);
  }
  restarts.clear();
  assert.notEqual(restarts.next(2), undefined);
});
