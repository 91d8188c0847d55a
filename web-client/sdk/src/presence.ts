/** Ephemeral state: who is typing, and who is online. */

import { ClientError } from "./errors.js";
import type { ErrorFrame, PresenceNotice, TypingNotice } from "./frames.js";

/**
 * TYPING_TIMEOUT_MS is how long a member counts as typing without another typing frame. The timeout
 * is needed because the frame that ends typing may be lost. It is slightly longer than the server's
 * timeout of 6 s.
 */
const TYPING_TIMEOUT_MS = 8_000;
/**
 * TYPING_INTERVAL_MS is the minimum interval between typing frames. The server accepts a typing
 * frame every 2 s.
 */
const TYPING_INTERVAL_MS = 3_000;

/** Typing tracks who is typing in which channel, and reports when this user is typing. */
export class Typing {
  private readonly typists = new Map<string, Map<string, ReturnType<typeof setTimeout>>>();
  private readonly lastSent = new Map<string, number>();

  constructor(
    private readonly send: (frame: object) => void,
    private readonly notify: (notice: TypingNotice) => void,
  ) {}

  of(channelID: string): ReadonlySet<string> {
    return new Set(this.typists.get(channelID)?.keys());
  }

  /** set reports whether this user is typing. */
  set(channelID: string, typing: boolean): void {
    const last = this.lastSent.get(channelID);
    if (typing && last !== undefined && Date.now() - last < TYPING_INTERVAL_MS) return;
    if (typing) this.lastSent.set(channelID, Date.now());
    else if (!this.lastSent.delete(channelID)) return;
    this.send({ type: "typing", channel_id: channelID, typing });
  }

  /**
   * messageSent reports that this user has stopped typing because the message was sent. Without
   * this report, other members would not see that the user is typing the next message, because the
   * server forwards a new start only after a stop.
   */
  messageSent(channelID: string): void {
    this.set(channelID, false);
  }

  handle(notice: TypingNotice): void {
    const { channel_id, user_id } = notice;
    let typists = this.typists.get(channel_id);
    if (!typists) this.typists.set(channel_id, (typists = new Map()));
    clearTimeout(typists.get(user_id));
    typists.delete(user_id);
    if (notice.typing) {
      const end = (): void => this.handle({ ...notice, typing: false });
      typists.set(user_id, setTimeout(end, TYPING_TIMEOUT_MS));
    }
    this.notify(notice);
  }

  /** messageReceived records that a member whose message has arrived is no longer typing. */
  messageReceived(channelID: string, userID: string): void {
    if (this.typists.get(channelID)?.has(userID)) {
      this.handle({ type: "typing", channel_id: channelID, user_id: userID, typing: false });
    }
  }

  lost(): void {
    this.lastSent.clear();
    for (const [channel_id, typists] of this.typists) {
      for (const user_id of [...typists.keys()]) this.messageReceived(channel_id, user_id);
    }
  }
}

/**
 * The members who are online in a channel. If there are many, only the count is kept up to date.
 */
export interface Online {
  readonly count: number;
  readonly users: ReadonlySet<string>;
}

interface Query {
  readonly channelID: string;
  readonly users: Set<string>;
  readonly resolve: (online: Online) => void;
  readonly reject: (error: ClientError) => void;
}

/**
 * Presence tracks which users are online in which channel. Once a channel's presence has been
 * requested, it is kept up to date, even across reconnections.
 */
export class Presence {
  private readonly online = new Map<string, Online>();
  private readonly watched = new Set<string>();
  private readonly queries = new Map<string, Query>();
  private lastRef = 0;

  constructor(
    private readonly up: () => boolean,
    private readonly send: (frame: object) => void,
    private readonly notify: (notice: PresenceNotice) => void,
  ) {}

  of(channelID: string): Online | undefined {
    return this.online.get(channelID);
  }

  /**
   * ask requests the list of online users. If there is no connection, the call fails with
   * `offline`, and the request is sent on the next connection.
   */
  ask(channelID: string): Promise<Online> {
    this.watched.add(channelID);
    return new Promise((resolve, reject) => {
      if (!this.up()) return reject(new ClientError("offline", "not connected"));
      this.page({ channelID, users: new Set(), resolve, reject });
    });
  }

  private page(query: Query, after?: string): void {
    const ref = `who-${++this.lastRef}`;
    this.queries.set(ref, query);
    this.send({ type: "presence", ref, channel_id: query.channelID, ...(after === undefined ? {} : { after }) });
  }

  handle(notice: PresenceNotice): void {
    const query = notice.ref === undefined ? undefined : this.queries.get(notice.ref);
    if (query) {
      this.queries.delete(notice.ref ?? "");
      for (const user of notice.joined) query.users.add(user);
      if (notice.next) return this.page(query, notice.next);
    } else {
      const users = new Set(this.online.get(notice.channel_id)?.users);
      for (const user of notice.joined) users.add(user);
      for (const user of notice.left) users.delete(user);
      if (!this.watched.has(notice.channel_id)) return this.notify(notice);
      this.online.set(notice.channel_id, { count: notice.online_count, users });
      return this.notify(notice);
    }
    const online = { count: notice.online_count, users: query.users };
    this.online.set(notice.channel_id, online);
    query.resolve(online);
    this.notify(notice);
  }

  /**
   * refused handles an error frame if it answers a presence request, and reports whether it handled
   * the frame.
   */
  refused(frame: ErrorFrame): boolean {
    const query = this.queries.get(frame.ref ?? "");
    if (!query) return false;
    this.queries.delete(frame.ref ?? "");
    query.reject(new ClientError(frame.code as ClientError["code"], frame.message, frame.retry_after_ms ?? 0, frame.errors));
    return true;
  }

  /**
   * following requests a channel's presence after the client has subscribed to the channel, because
   * presence requires a subscription.
   */
  following(channelID: string): void {
    if (this.watched.has(channelID)) this.ask(channelID).catch(() => {}); // the answer arrives as a notice
  }

  forget(channelID: string): void {
    this.watched.delete(channelID);
    this.online.delete(channelID);
  }

  lost(): void {
    for (const [ref, query] of this.queries) {
      this.queries.delete(ref);
      query.reject(new ClientError("offline", "the connection was lost"));
    }
  }
}
