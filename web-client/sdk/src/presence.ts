/** News of the moment: who types, and who is online. */

import { ClientError } from "./errors.js";
import type { ErrorFrame, PresenceNotice, TypingNotice } from "./frames.js";

/** The server ends it after 6 s. A little more, since its word may be lost. */
const TYPING_ENDS_MS = 8_000;
/** A start is said again every few seconds; the server takes one in 2 s. */
const TYPING_EVERY_MS = 3_000;

/** Who types where. */
export class Typing {
  private readonly typists = new Map<string, Map<string, ReturnType<typeof setTimeout>>>();
  private readonly said = new Map<string, number>();

  constructor(
    private readonly send: (frame: object) => void,
    private readonly tell: (notice: TypingNotice) => void,
  ) {}

  of(channelID: string): ReadonlySet<string> {
    return new Set(this.typists.get(channelID)?.keys());
  }

  /** Says that this user types, or has stopped. */
  say(channelID: string, typing: boolean): void {
    const last = this.said.get(channelID);
    if (typing && last !== undefined && Date.now() - last < TYPING_EVERY_MS) return;
    if (typing) this.said.set(channelID, Date.now());
    else if (!this.said.delete(channelID)) return;
    this.send({ type: "typing", channel_id: channelID, typing });
  }

  /**
   * This user has sent something, and types no more. The server is told: it tells others of a start only after an
   * end, and whoever went on typing would not be seen to.
   */
  over(channelID: string): void {
    this.say(channelID, false);
  }

  take(notice: TypingNotice): void {
    const { channel_id, user_id } = notice;
    let typists = this.typists.get(channel_id);
    if (!typists) this.typists.set(channel_id, (typists = new Map()));
    clearTimeout(typists.get(user_id));
    typists.delete(user_id);
    if (notice.typing) {
      const end = (): void => this.take({ ...notice, typing: false });
      typists.set(user_id, setTimeout(end, TYPING_ENDS_MS));
    }
    this.tell(notice);
  }

  /** Somebody's message has come: they have stopped. */
  spoke(channelID: string, userID: string): void {
    if (this.typists.get(channelID)?.has(userID)) {
      this.take({ type: "typing", channel_id: channelID, user_id: userID, typing: false });
    }
  }

  lost(): void {
    this.said.clear();
    for (const [channel_id, typists] of this.typists) {
      for (const user_id of [...typists.keys()]) this.spoke(channel_id, user_id);
    }
  }
}

/** Who is online in a channel. Of a channel with many online only the count is kept up. */
export interface Online {
  readonly count: number;
  readonly users: ReadonlySet<string>;
}

interface Question {
  readonly channelID: string;
  readonly users: Set<string>;
  readonly answer: (online: Online) => void;
  readonly refuse: (error: ClientError) => void;
}

/** Who is online where. What was asked once is kept up, over connections too. */
export class Presence {
  private readonly online = new Map<string, Online>();
  private readonly wanted = new Set<string>();
  private readonly questions = new Map<string, Question>();
  private lastRef = 0;

  constructor(
    private readonly up: () => boolean,
    private readonly send: (frame: object) => void,
    private readonly tell: (notice: PresenceNotice) => void,
  ) {}

  of(channelID: string): Online | undefined {
    return this.online.get(channelID);
  }

  /** Asks who is online. It fails with `offline` without a connection; then it is asked when there is one. */
  ask(channelID: string): Promise<Online> {
    this.wanted.add(channelID);
    return new Promise((answer, refuse) => {
      if (!this.up()) return refuse(new ClientError("offline", "not connected"));
      this.page({ channelID, users: new Set(), answer, refuse });
    });
  }

  private page(question: Question, after?: string): void {
    const ref = `who-${++this.lastRef}`;
    this.questions.set(ref, question);
    this.send({ type: "presence", ref, channel_id: question.channelID, ...(after === undefined ? {} : { after }) });
  }

  take(notice: PresenceNotice): void {
    const question = notice.ref === undefined ? undefined : this.questions.get(notice.ref);
    if (question) {
      this.questions.delete(notice.ref ?? "");
      for (const user of notice.joined) question.users.add(user);
      if (notice.next) return this.page(question, notice.next);
    } else {
      const users = new Set(this.online.get(notice.channel_id)?.users);
      for (const user of notice.joined) users.add(user);
      for (const user of notice.left) users.delete(user);
      if (!this.wanted.has(notice.channel_id)) return this.tell(notice);
      this.online.set(notice.channel_id, { count: notice.online_count, users });
      return this.tell(notice);
    }
    const online = { count: notice.online_count, users: question.users };
    this.online.set(notice.channel_id, online);
    question.answer(online);
    this.tell(notice);
  }

  /** Takes an error if it answers a question, and says whether it did. */
  refused(frame: ErrorFrame): boolean {
    const question = this.questions.get(frame.ref ?? "");
    if (!question) return false;
    this.questions.delete(frame.ref ?? "");
    question.refuse(new ClientError(frame.code as ClientError["code"], frame.message, frame.retry_after_ms ?? 0));
    return true;
  }

  /** A channel is followed: presence is of subscribers. */
  following(channelID: string): void {
    if (this.wanted.has(channelID)) this.ask(channelID).catch(() => {}); // told when it is there
  }

  forget(channelID: string): void {
    this.wanted.delete(channelID);
    this.online.delete(channelID);
  }

  lost(): void {
    for (const [ref, question] of this.questions) {
      this.questions.delete(ref);
      question.refuse(new ClientError("offline", "the connection was lost"));
    }
  }
}
