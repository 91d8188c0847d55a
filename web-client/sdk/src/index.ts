export { Client, type ClientConfig } from "./client.js";
export {
  Channel,
  type ChannelEvents,
  type HistoryQuery,
  type Joined,
  type Left,
  type ReachedChange,
  type Reset,
  type SendOptions,
  type UnreadChange,
} from "./channel.js";
export type { SocketConstructor, SocketLike } from "./connection.js";
export type { ClientEvents } from "./core.js";
export { ApiError, ClientError, CloseError, type LocalCode } from "./errors.js";
export type { Listener, Off } from "./emitter.js";
export type * from "./events.js";
export type {
  ChannelSummary,
  ChannelUpdatedEvent,
  DeleteEvent,
  EditEvent,
  GapEvent,
  GroupNotice,
  InvitationNotice,
  Limits,
  MembershipEvent,
  PostedEvent,
  PresenceNotice,
  ReactionEvent,
  Receipt,
  ReceiptCounts,
  TombstoneEvent,
  TypingNotice,
  WireEvent,
} from "./frames.js";
export type { RequestOptions } from "./http.js";
export {
  LocalStoragePendingStore,
  MemoryPendingStore,
  type Ack,
  type Pending,
  type PendingStore,
  type SendKind,
  type StoredSend,
} from "./pending.js";
export type { Online } from "./presence.js";
export type { OwnMessage, Reached } from "./reach.js";
export { allPages, Rest, type MessageQuery, type Page, type Paging } from "./rest.js";
export type {
  Channel as ChannelDetails,
  ChannelChange,
  ChannelCreation,
  ChannelKind,
  ChannelPreview,
  Ban,
  Candidate,
  CandidateState,
  Contact,
  ContactState,
  CursorMove,
  FieldCode,
  Group,
  GroupChange,
  GroupChannelCreation,
  GroupCreation,
  Invitation,
  LoggedIn,
  LogIn,
  Me,
  Member,
  MemberAddition,
  MemberCursor,
  Message,
  MessageChange,
  MentionAll,
  MessageCreation,
  OpsFigures,
  OpsMetrics,
  OpsPartition,
  OpsTarget,
  PasswordChange,
  PasswordProof,
  Peer,
  Problem,
  ProblemCode,
  ProblemField,
  ProfileChange,
  Reaction,
  Receipt as MemberReceipt,
  Receipts,
  Role,
  Session,
  SignUp,
  User,
} from "./rest-types.js";
export type { BearerAuth, Credentials } from "./tokens.js";
