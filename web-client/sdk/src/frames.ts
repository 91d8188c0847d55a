/** The frames of docs/websocket.md, with the names that they have on the wire. */

import type { ChannelKind } from "./rest-types.js";

export const SUBPROTOCOL = "parley.v1";

/** How many channels hello carries; the rest follow in hello_more. */
export const HELLO_CHANNELS = 200;

interface EventBase {
  readonly channel_id: string;
  readonly seq: number;
  readonly id: string;
  readonly sent_at: string;
}

interface Sent extends EventBase {
  readonly sender_id: string;
  /** Tells you what you have sent yourself. */
  readonly client_id?: string | null;
}

export interface PostedEvent extends Sent {
  readonly type: "message";
  readonly sender_name: string;
  readonly body: string;
  /** Members whose @username the body has; the channel's own id stands for @channel. */
  readonly mentions: readonly string[];
  readonly reply_to: string | null;
}

export interface EditEvent extends Sent {
  readonly type: "edit";
  readonly message_id: string;
  readonly body: string;
  readonly mentions?: readonly string[];
}

export interface DeleteEvent extends Sent {
  readonly type: "delete";
  readonly message_id: string;
}

export interface ReactionEvent extends Sent {
  readonly type: "reaction";
  readonly message_id: string;
  readonly emoji: string;
  readonly remove: boolean;
  /** An owner or admin has removed what `sender_id` had put on the message. */
  readonly removed_by?: string;
}

export interface MembershipEvent extends EventBase {
  readonly type: "member_joined" | "member_left";
  /** Who did it. */
  readonly sender_id: string;
  /** Who came or went. */
  readonly user_id: string;
  readonly username: string;
}

export interface ChannelUpdatedEvent extends EventBase {
  readonly type: "channel_updated";
  readonly sender_id: string;
  /** What the channel is now. */
  readonly channel: Readonly<Record<string, unknown>>;
}

/** A seq that holds no event: count it and show nothing. */
export interface TombstoneEvent extends EventBase {
  readonly type: "failed" | "lost" | "noop";
}

/** For the seqs `from` to `to` no event may be known. */
export interface GapEvent extends EventBase {
  readonly type: "gap";
  readonly from: number;
  readonly to: number;
}

/** An event of a channel's log, as it is on the wire. */
export type WireEvent =
  | PostedEvent
  | EditEvent
  | DeleteEvent
  | ReactionEvent
  | MembershipEvent
  | ChannelUpdatedEvent
  | TombstoneEvent
  | GapEvent;

export interface Limits {
  readonly max_body_bytes: number;
  /** 0: no limit. */
  readonly rate_messages: number;
  readonly rate_seconds: number;
  readonly rate_block_seconds: number;
}

/** A channel as hello lists it. */
export interface ChannelSummary {
  readonly channel_id: string;
  /** Empty for a direct channel. */
  readonly name: string;
  readonly kind: ChannelKind;
  readonly last_seq: number;
  readonly last_read_seq: number;
  readonly last_delivered_seq: number;
  readonly unread: number;
  readonly unread_mentions: number;
  readonly epoch: string;
  /** The user has more channels than a connection follows, and this one is left out: see Channel.follow. */
  readonly not_followed?: true;
}

export interface Hello {
  readonly type: "hello";
  readonly connection_id: string;
  readonly session_id: string;
  readonly user_id: string;
  readonly server_time: string;
  readonly heartbeat_seconds: number;
  readonly limits: Limits;
  readonly channels: readonly ChannelSummary[];
  /** How many of all channels are left out. Absent: none. */
  readonly not_followed?: number;
}

export interface HelloMore {
  readonly type: "hello_more";
  readonly channels: readonly ChannelSummary[];
}

export interface Subscribed {
  readonly type: "subscribed";
  readonly ref?: string;
  readonly channel_id: string;
  readonly last_seq: number;
  readonly epoch: string;
  readonly recovered: boolean;
  readonly has_more: boolean;
}

export interface Resync {
  readonly type: "resync";
  readonly ref?: string;
  readonly channel_id: string;
  readonly last_seq: number;
  readonly epoch: string;
}

/** Says that an event is durable, and where it is. */
export interface AckFrame {
  readonly type: "ack";
  readonly channel_id: string;
  readonly client_id: string;
  readonly id: string;
  readonly seq: number;
  readonly sent_at: string;
}

export interface ErrorFrame {
  readonly type: "error";
  readonly ref?: string;
  readonly code: string;
  readonly message: string;
  readonly retry_after_ms?: number;
  /** In answers to `subscribe`: which of its channels. */
  readonly channel_id?: string;
}

/** An event of ours that was acknowledged could not be stored after all. */
export interface FailedFrame {
  readonly type: "failed";
  readonly channel_id: string;
  readonly id: string;
  readonly seq: number;
  readonly client_id: string;
  readonly reason: string;
}

export interface Membership {
  readonly type: "membership";
  readonly channel_id: string;
  readonly change: "added" | "removed";
  readonly by: string;
  readonly channel?: ChannelSummary;
}

/** You came into a group, were put out of it, or it is other than it was. */
export interface GroupNotice {
  readonly type: "group";
  readonly group_id: string;
  readonly change: "added" | "removed" | "updated";
  readonly by: string;
}

/** You were invited into a channel or a group, or an invitation is no more. */
export interface InvitationNotice {
  readonly type: "invitation";
  readonly invitation_id: string;
  readonly change: "added" | "removed";
  readonly by: string;
}

/** A member types, or has stopped. */
export interface TypingNotice {
  readonly type: "typing";
  readonly channel_id: string;
  readonly user_id: string;
  readonly typing: boolean;
}

/** Who has come online and who has gone; channels with many online tell the count alone. */
export interface PresenceNotice {
  readonly type: "presence";
  readonly ref?: string;
  readonly channel_id: string;
  readonly online_count: number;
  readonly joined: readonly string[];
  readonly left: readonly string[];
  readonly next?: string;
}

/** How far a member of a small channel has come. */
export interface Receipt {
  readonly type: "receipt";
  readonly channel_id: string;
  readonly user_id: string;
  readonly delivered_seq: number;
  readonly read_seq: number;
}

/** How many in a large channel have the newest message of this user. */
export interface ReceiptCounts {
  readonly type: "receipt_counts";
  readonly channel_id: string;
  readonly seq: number;
  readonly delivered_count: number;
  readonly read_count: number;
  readonly member_count: number;
}

export interface Pong {
  readonly type: "pong";
  readonly ref?: string;
}

/** Anything that the server sends, of the types that this client knows. */
export type ServerFrame =
  | WireEvent
  | Hello
  | HelloMore
  | Subscribed
  | Resync
  | AckFrame
  | ErrorFrame
  | FailedFrame
  | Membership
  | GroupNotice
  | InvitationNotice
  | TypingNotice
  | PresenceNotice
  | Receipt
  | ReceiptCounts
  | Pong;

/** What appends an event. Its ref is its client_id. */
export interface Outbound {
  readonly type: "send" | "edit" | "delete" | "react";
  readonly channel_id: string;
  readonly client_id: string;
  readonly message_id?: string;
  readonly reply_to?: string;
  readonly body?: string;
  readonly emoji?: string;
  readonly remove?: boolean;
}
