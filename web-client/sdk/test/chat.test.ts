import { afterEach, describe, expect, inject, it } from "vitest";
import { ApiError, Client, type Pending } from "../src/index.js";
import { bodies, collect, NodeWebSocket, person, until, type Person } from "./people.js";

const clients: Client[] = [];
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});

async function two(): Promise<{ ann: Person; bob: Person; id: string }> {
  const [ann, bob] = await Promise.all([person(), person()]);
  clients.push(ann.client, bob.client);
  const { id } = await ann.client.rest.createChannel({ name: `tea ${ann.name}`, kind: "unlisted" });
  await bob.client.rest.joinChannel(id);
  for (const { client } of [ann, bob]) client.connect();
  await Promise.all([ann.client.upToDate(), bob.client.upToDate()]);
  return { ann, bob, id };
}

describe("two people in a channel", () => {
  it("exchange messages and see their delivery status", async () => {
    const { ann, bob, id } = await two();
    const seen = collect(bob.client, id);
    const channel = ann.client.channel(id);
    const statuses: string[] = [];
    channel.on("status", (p) => statuses.push(p.status));
    const said = channel.send("hello");
    expect(said.status).toBe("pending");
    expect(channel.pending).toEqual([said]);
    const ack = await said.settled;
    await until("bob receives the message", () => bodies(seen).includes("hello"));
    expect(seen.find((e) => e.type === "message")).toMatchObject({ seq: ack.seq, sender_id: ann.id, mine: false });
    await until("the message leaves pending when its event arrives", () => channel.pending.length === 0);
    await until("delivered is reported automatically", () => channel.statusOf(ack.seq) === "delivered");
    bob.client.channel(id).markRead(ack.seq);
    await until("read", () => said.status === "read");
    expect(statuses).toEqual(["pending", "sent", "delivered", "read"]);
  });

  it("can edit, react and delete, and the history shows the result", async () => {
    const { ann, bob, id } = await two();
    const seen = collect(bob.client, id);
    const channel = ann.client.channel(id);
    const first = await channel.send("helo").settled;
    const second = await channel.send("oops", { replyTo: first.id }).settled;
    await channel.edit(first.id, "hello");
    await bob.client.channel(id).react(first.id, "👍");
    await channel.delete(second.id);
    await until("bob receives all events", () => seen.some((e) => e.type === "delete"));
    const history = await bob.client.channel(id).history({ after: first.seq - 1 });
    expect(history).toMatchObject([
      { id: first.id, body: "hello", reactions: [{ emoji: "👍", count: 1, user_ids: [bob.id] }] },
      { id: second.id, body: "", reply_to: first.id },
    ]);
    expect(history[1]?.deleted_at).not.toBeNull();
    await expect(bob.client.channel(id).edit(first.id, "mine now")).rejects.toMatchObject({ code: "forbidden" });
  });

  it("can read the history at an earlier point, and what changed since then", async () => {
    const { ann, bob, id } = await two();
    const channel = ann.client.channel(id);
    const first = await channel.send("helo").settled;
    const second = await channel.send("oops").settled;
    const edited = await channel.edit(first.id, "hello");
    await channel.react(first.id, "👍");
    const deleted = await channel.delete(second.id);

    const reader = bob.client.channel(id);
    const then = await reader.history({ asOfSeq: second.seq, after: first.seq - 1 });
    expect(then).toMatchObject([
      { id: first.id, body: "helo", edited_at: null, reactions: [] },
      { id: second.id, body: "", deleted_at: deleted.sentAt },
    ]);
    expect(await reader.history({ asOf: new Date(Date.now() + 3_600_000) })).toEqual(await reader.history());
    expect(await reader.history({ asOf: new Date(0) })).toEqual([]);
    expect(await reader.changes(second.seq, deleted.seq)).toMatchObject([
      {
        message: { id: first.id, body: "hello", edited_at: edited.sentAt },
        created: false,
        edited: true,
        deleted: false,
        reactions_added: [{ emoji: "👍", count: 1, user_ids: [ann.id] }],
        reactions_removed: [],
      },
      { message: { id: second.id, body: "" }, created: false, edited: false, deleted: true },
    ]);
    expect(await reader.changes(second.seq, second.seq)).toEqual([]);
  });

  it("see who is typing and who is online", async () => {
    const { ann, bob, id } = await two();
    const channel = ann.client.channel(id);
    const online = await until("both are online", async () => {
      const now = await channel.presence();
      return now.users.size === 2 && now;
    });
    expect([...online.users].sort()).toEqual([ann.id, bob.id].sort());
    bob.client.channel(id).typing();
    await until("bob is typing", () => channel.typists.has(bob.id));
    bob.client.channel(id).send("said it");
    await until("bob has stopped", () => !channel.typists.has(bob.id), 3_000); // because of the message: the timeout is 6 s
    bob.client.close();
    await until("bob is offline", () => channel.online?.users.has(bob.id) === false);
    expect(channel.online?.count).toBe(1);
  });

  it("have correct unread and mention counts, also after reading a part", async () => {
    const { ann, bob, id } = await two();
    const mine = bob.client.channel(id);
    const seqs: number[] = [];
    for (const body of ["one", `two @${bob.name}`, "three"]) seqs.push((await ann.client.channel(id).send(body).settled).seq);
    await until("three unread", () => mine.unread === 3);
    expect(mine.unreadMentions).toBe(1);
    mine.markRead(seqs[1] ?? 0);
    expect([mine.unread, mine.unreadMentions]).toEqual([1, 0]);
    // A second device gets the count from the server.
    const other = new Client({ url: inject("server"), WebSocket: NodeWebSocket, auth: {} });
    clients.push(other);
    await other.rest.logIn({ login: bob.name, password: bob.password });
    await until("the server has the read position", async () => (await other.rest.getChannel(id)).unread === 1);
    other.connect();
    await other.upToDate();
    expect(other.channel(id).unread).toBe(1);
    other.channel(id).markRead(seqs[2] ?? 0);
    await until("the first device is updated", () => mine.unread === 0 && mine.readSeq === seqs[2]);
  });

  it("request the count from the server after reading a part of what it had counted", async () => {
    const { ann, bob, id } = await two();
    bob.client.close();
    const seqs: number[] = [];
    for (const body of ["one", "two", "three"]) seqs.push((await ann.client.channel(id).send(body).settled).seq);
    const other = new Client({ url: inject("server"), WebSocket: NodeWebSocket, auth: {} });
    clients.push(other);
    await other.rest.logIn({ login: bob.name, password: bob.password });
    other.connect();
    await other.upToDate();
    expect(other.channel(id).unread).toBe(3);
    other.channel(id).markRead(seqs[0] ?? 0);
    await until("two are left", () => other.channel(id).unread === 2);
  });
});

describe("channels", () => {
  it("are followed after the user is added, and left after the user is removed", async () => {
    const { ann, bob } = await two();
    const news: string[] = [];
    bob.client.on("joined", ({ channel }) => news.push(`joined ${channel.summary?.name}`));
    bob.client.on("left", ({ channel }) => news.push(`left ${channel.id}`));
    const { id } = await ann.client.rest.createChannel({ name: `secret ${ann.name}`, kind: "private" });
    await ann.client.rest.addMember(id, { user_id: bob.id });
    await until("bob is a member", () => bob.client.channel(id).caughtUp);
    await ann.client.rest.updateChannel(id, { name: `no secret ${ann.name}` });
    await until("the new name arrives", () => bob.client.channel(id).summary?.name === `no secret ${ann.name}`);
    await ann.client.rest.removeMember(id, bob.id);
    await until("bob is no longer a member", () => !bob.client.channel(id).followed);
    expect(news).toEqual([`joined secret ${ann.name}`, `left ${id}`]);
    await expect(bob.client.channel(id).send("still?").settled).rejects.toMatchObject({ code: "not_found" });
    const [failed] = bob.client.pending() as [Pending];
    expect(failed.status).toBe("failed");
    failed.discard();
    expect(bob.client.pending()).toEqual([]);
  });

  it("deliver the first message of a new direct channel", async () => {
    const { ann, bob } = await two();
    const seen: string[] = [];
    bob.client.on("event", (e) => e.type === "message" && seen.push(e.body));
    const direct = await ann.client.direct(bob.id);
    await direct.send("psst").settled;
    await until("bob receives it", () => seen.includes("psst"));
    expect(bob.client.channel(direct.id).summary?.kind).toBe("direct");
  });

  it("report the status of own messages, also after the page is reloaded", async () => {
    const { ann, bob, id } = await two();
    const { id: message, seq } = await ann.client.channel(id).send("hello").settled;
    bob.client.channel(id).markRead(seq);
    await until("read", () => ann.client.channel(id).statusOf(seq) === "read");
    ann.client.close();
    const again = new Client({ url: inject("server"), WebSocket: NodeWebSocket, auth: {} });
    clients.push(again);
    await again.rest.logIn({ login: ann.name, password: ann.password });
    expect(again.channel(id).statusOf(seq)).toBe("sent");
    await again.channel(id).askReached([{ id: message, seq }]);
    expect(again.channel(id).statusOf(seq)).toBe("read");
  });
});

describe("sessions", () => {
  it("renew their tokens in place", async () => {
    const kept: string[] = [];
    const ann = await person({ auth: { onRenewed: (c) => kept.push(c.refreshToken) } });
    clients.push(ann.client);
    ann.client.connect();
    await ann.client.upToDate();
    const states: string[] = [];
    ann.client.on("state", (s) => states.push(s.name));
    await until("two renewals", () => kept.length >= 3);
    await until("and longer than a token's lifetime", () => kept.length >= 4);
    expect(new Set(kept).size).toBe(kept.length);
    expect(states).toEqual([]); // the connection was not interrupted
    expect((await ann.client.rest.getMe()).username).toBe(ann.name);
  });

  it("end when they are revoked", async () => {
    const ann = await person();
    clients.push(ann.client);
    ann.client.connect();
    await ann.client.upToDate();
    const other = new Client({ url: inject("server"), WebSocket: NodeWebSocket, auth: {} });
    await other.rest.logIn({ login: ann.name, password: ann.password });
    await other.rest.revokeSession(ann.client.sessionID ?? "");
    await until("the client has ended", () => ann.client.state.name === "ended");
    expect(ann.client.state).toMatchObject({ reason: "session-revoked" });
  });

  it("continue after a password change, which ends the user's other sessions", async () => {
    const { ann, bob, id } = await two();
    const other = new Client({ url: inject("server"), WebSocket: NodeWebSocket, auth: {} });
    clients.push(other);
    await other.rest.logIn({ login: ann.name, password: ann.password });
    other.connect();
    await other.upToDate();
    const states: string[] = [];
    ann.client.on("state", (s) => states.push(s.name));
    await ann.client.rest.changePassword({ password: ann.password, new_password: "battery staple horse" });
    await until("the other client has ended", () => other.state.name === "ended");
    expect(other.state).toMatchObject({ reason: "session-revoked" });
    await until("ann has reconnected", () => states.includes("connecting") && ann.client.state.name === "up-to-date");
    expect(states).not.toContain("ended");
    const { seq } = await ann.client.channel(id).send("still here").settled;
    await until("bob receives it", () => bob.client.channel(id).position?.seq === seq);
    const others = await ann.client.rest.listSessions();
    expect(others.items.map((s) => s.current)).toEqual([true]);
    await expect(ann.client.rest.changePassword({ password: "wrong horse", new_password: "battery staple" })).rejects.toMatchObject({ code: "invalid_credentials" });
    expect((await ann.client.rest.getMe()).username).toBe(ann.name);
  });

  it("are required", async () => {
    const nobody = new Client({ url: inject("server"), WebSocket: NodeWebSocket, auth: {} });
    expect(nobody.hasSession).toBe(false);
    await expect(nobody.rest.getMe()).rejects.toBeInstanceOf(ApiError);
    nobody.connect();
    await expect(nobody.upToDate()).rejects.toMatchObject({ code: "unauthenticated" });
    expect(nobody.state).toMatchObject({ name: "ended", reason: "unauthenticated" });
  });

  it("report the server's problem documents", async () => {
    const ann = await person();
    const again = ann.client.rest.signUp({ username: ann.name, email: "x@example.com", password: "correct horse battery" });
    await expect(again).rejects.toMatchObject({ name: "ApiError", status: 409, code: "username_taken" });
    const bad = ann.client.rest.createChannel({ name: "", kind: "public" });
    await expect(bad).rejects.toMatchObject({ status: 422, code: "invalid_request", errors: [{ field: "name" }] });
    await ann.client.rest.logOut();
    expect(ann.client.hasSession).toBe(false);
  });
});
