/**
 * The REST API, with one method for each operation in docs/openapi.yaml, named after its
 * operationId.
 */

import { ApiError } from "./errors.js";
import type { Http, RequestOptions } from "./http.js";
import type * as api from "./rest-types.js";
import { asUser, type TokenSource } from "./tokens.js";

type Query = Readonly<Record<string, string | number | boolean | undefined>>;
type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Selects one page of a list. `cursor` is the next_cursor of the previous page. */
export interface Paging {
  readonly cursor?: string | undefined;
  /** At most 200; default 50. */
  readonly limit?: number | undefined;
}

/**
 * Selects a page of messages. Set at most one of `before_seq`, `after_seq` and `around`. If none is
 * set, the page contains the newest messages.
 */
export interface MessageQuery extends Paging {
  readonly before_seq?: number | undefined;
  readonly after_seq?: number | undefined;
  readonly around?: number | undefined;
  /** Return the messages as they were when the event with this seq was the newest. */
  readonly as_of_seq?: number | undefined;
  /** Return the messages as they were at this time (RFC 3339). Not together with `as_of_seq`. */
  readonly as_of?: string | undefined;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly next_cursor: string | null;
}

/**
 * allPages reads every page of a list: `allPages((p) => rest.listContacts({ ...p, limit: 200 }))`.
 */
export async function allPages<T>(list: (paging: Paging) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = [];
  for (let paging: Paging = {}; ; ) {
    const page = await list(paging);
    items.push(...page.items);
    if (page.next_cursor === null) return items;
    paging = { cursor: page.next_cursor };
  }
}

function withQuery(path: string, query: Query | undefined): string {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) params.set(name, String(value));
  const text = params.toString();
  return text === "" ? path : `${path}?${text}`;
}

/** path is a template tag that escapes the ids in a path. */
function path(parts: TemplateStringsArray, ...ids: string[]): string {
  return parts.reduce((result, part, i) => result + encodeURIComponent(ids[i - 1] ?? "") + part);
}

/**
 * Rest calls the REST API. Its methods throw an ApiError if the server refuses the request, and a
 * ClientError with the code `offline` if the server is unreachable.
 */
export class Rest {
  /** @internal */
  constructor(
    private readonly http: Http,
    private readonly tokens: TokenSource,
  ) {}

  /** Sends any request as the session's user. */
  request<T>(method: Method, path: string, body?: object, options: RequestOptions = {}): Promise<T> {
    return asUser<T>(this.http, this.tokens, { ...options, method, path, ...(body === undefined ? {} : { body }) });
  }

  private get<T>(path: string, query?: object): Promise<T> {
    return this.request("GET", withQuery(path, query as Query | undefined));
  }

  // Accounts and sessions.

  signUp(account: Omit<api.SignUp, "session" | "device_token">): Promise<api.LoggedIn> {
    return this.begin("/v1/signup", account);
  }
  logIn(credentials: Omit<api.LogIn, "session" | "device_token">): Promise<api.LoggedIn> {
    return this.begin("/v1/login", credentials);
  }
  private async begin(path: string, body: object): Promise<api.LoggedIn> {
    const { mode: session, deviceToken } = this.tokens;
    const known = deviceToken === undefined ? {} : { device_token: deviceToken };
    const answer = await this.http.send<api.LoggedIn>({ method: "POST", path, body: { ...body, session, ...known } });
    this.tokens.accept(answer);
    return answer;
  }
  /**
   * Renews the tokens. Calling this is optional: requests and connections renew the tokens when
   * necessary.
   */
  async refreshSession(): Promise<void> {
    await this.tokens.token({ rejected: await this.tokens.token(), fresh: true });
  }
  /** Ends the session; the server closes its connections. */
  async logOut(): Promise<void> {
    const refresh_token = this.tokens.refreshToken;
    const token = await this.tokens.token().catch(() => undefined); // an expired session can still log out
    const body = refresh_token === undefined ? {} : { body: { refresh_token } };
    try {
      await this.http.send({ method: "POST", path: "/v1/logout", accessToken: token?.access, ...body });
    } catch (error) {
      if (!(error instanceof ApiError) || error.status !== 401) throw error; // the session has already ended
    }
    this.tokens.forget();
  }
  listSessions(): Promise<Page<api.Session>> {
    return this.get("/v1/sessions");
  }
  /** Ends every session except this one. */
  revokeOtherSessions(): Promise<void> {
    return this.request("DELETE", "/v1/sessions");
  }
  revokeSession(id: string): Promise<void> {
    return this.request("DELETE", path`/v1/sessions/${id}`);
  }
  getMe(): Promise<api.Me> {
    return this.get("/v1/me");
  }
  updateMe(change: api.ProfileChange): Promise<api.Me> {
    return this.request("PATCH", "/v1/me", change);
  }
  async deleteMe(proof: api.PasswordProof): Promise<void> {
    await this.request("DELETE", "/v1/me", proof);
    this.tokens.forget();
  }
  /**
   * Ends all of the user's sessions. This client and the browser's other tabs continue with a new
   * session.
   */
  changePassword(change: Omit<api.PasswordChange, "device_token">): Promise<void> {
    return this.tokens.exchange("/v1/me/password", change);
  }

  // For operators.

  getOpsMetrics(): Promise<api.OpsMetrics> {
    return this.get("/v1/ops/metrics");
  }

  // Users and contacts.

  listUsers(query: Paging & { readonly query: string }): Promise<Page<api.User>> {
    return this.get("/v1/users", query);
  }
  /** Returns the profiles of at most 100 users. */
  getProfiles(query: { readonly ids: readonly string[] }): Promise<api.Profiles> {
    return this.get("/v1/profiles", query); // the ids are separated by commas
  }
  getUser(id: string): Promise<api.User> {
    return this.get(path`/v1/users/${id}`);
  }
  listContacts(query: Paging & { readonly state?: api.ContactState } = {}): Promise<Page<api.Contact>> {
    return this.get("/v1/contacts", query);
  }
  requestContact(user: api.UserRef): Promise<api.Contact> {
    return this.request("POST", "/v1/contacts", user);
  }
  removeContact(userID: string): Promise<void> {
    return this.request("DELETE", path`/v1/contacts/${userID}`);
  }
  blockUser(userID: string): Promise<void> {
    return this.request("POST", path`/v1/contacts/${userID}/block`);
  }
  unblockUser(userID: string): Promise<void> {
    return this.request("DELETE", path`/v1/contacts/${userID}/block`);
  }

  // Groups.

  listGroups(paging: Paging = {}): Promise<Page<api.Group>> {
    return this.get("/v1/groups", paging);
  }
  createGroup(group: api.GroupCreation): Promise<api.Group> {
    return this.request("POST", "/v1/groups", group);
  }
  getGroup(id: string): Promise<api.Group> {
    return this.get(path`/v1/groups/${id}`);
  }
  updateGroup(id: string, change: api.GroupChange): Promise<api.Group> {
    return this.request("PATCH", path`/v1/groups/${id}`, change);
  }
  deleteGroup(id: string): Promise<void> {
    return this.request("DELETE", path`/v1/groups/${id}`);
  }
  listGroupMembers(id: string, paging: Paging = {}): Promise<Page<api.Member>> {
    return this.get(path`/v1/groups/${id}/members`, paging);
  }
  /**
   * Adds a user to a group. A stranger (someone who is not a contact and shares no private channel
   * or group) is invited instead.
   */
  addGroupMember(id: string, member: api.MemberAddition): Promise<api.Member | api.Invitation> {
    return this.request("POST", path`/v1/groups/${id}/members`, member);
  }
  updateGroupMember(id: string, userID: string, change: api.RoleChange): Promise<api.Member> {
    return this.request("PATCH", path`/v1/groups/${id}/members/${userID}`, change);
  }
  removeGroupMember(id: string, userID: string): Promise<void> {
    return this.request("DELETE", path`/v1/groups/${id}/members/${userID}`);
  }
  listGroupChannels(id: string, paging: Paging = {}): Promise<Page<api.Channel>> {
    return this.get(path`/v1/groups/${id}/channels`, paging);
  }
  createGroupChannel(id: string, channel: api.GroupChannelCreation): Promise<api.Channel> {
    return this.request("POST", path`/v1/groups/${id}/channels`, channel);
  }

  // Channels and their members.

  listChannels(query: Paging & { readonly mine?: boolean; readonly query?: string } = {}): Promise<Page<api.Channel>> {
    return this.get("/v1/channels", query);
  }
  createChannel(channel: api.ChannelCreation): Promise<api.Channel> {
    return this.request("POST", "/v1/channels", channel);
  }
  getChannel(id: string): Promise<api.Channel> {
    return this.get(path`/v1/channels/${id}`);
  }
  /** Returns the channel details that users can see before they join. */
  getChannelPreview(id: string): Promise<api.ChannelPreview> {
    return this.get(path`/v1/channels/${id}/preview`);
  }
  updateChannel(id: string, change: api.ChannelChange): Promise<api.Channel> {
    return this.request("PATCH", path`/v1/channels/${id}`, change);
  }
  deleteChannel(id: string): Promise<void> {
    return this.request("DELETE", path`/v1/channels/${id}`);
  }
  joinChannel(id: string): Promise<api.Channel> {
    return this.request("POST", path`/v1/channels/${id}/join`);
  }
  leaveChannel(id: string): Promise<void> {
    return this.request("POST", path`/v1/channels/${id}/leave`);
  }
  openDirectChannel(user: api.UserRef): Promise<api.Channel> {
    return this.request("POST", "/v1/dms", user);
  }
  listMembers(id: string, paging: Paging = {}): Promise<Page<api.Member>> {
    return this.get(path`/v1/channels/${id}/members`, paging);
  }
  /**
   * Adds a user to a channel. A stranger (someone who is not a contact and shares no private
   * channel or group) is invited instead.
   */
  addMember(id: string, member: api.MemberAddition): Promise<api.Member | api.Invitation> {
    return this.request("POST", path`/v1/channels/${id}/members`, member);
  }
  updateMember(id: string, userID: string, change: api.RoleChange): Promise<api.Member> {
    return this.request("PATCH", path`/v1/channels/${id}/members/${userID}`, change);
  }
  /** Removes a member. If `ban` is true, the user cannot rejoin until the ban is lifted. */
  removeMember(id: string, userID: string, options: { readonly ban?: boolean } = {}): Promise<void> {
    return this.request("DELETE", withQuery(path`/v1/channels/${id}/members/${userID}`, options));
  }
  /** Reports, for each of at most 100 users, whether they would be added directly or invited. */
  getCandidates(id: string, query: { readonly ids: readonly string[] }): Promise<api.Candidates> {
    return this.get(path`/v1/channels/${id}/candidates`, query); // the ids are separated by commas
  }
  listChannelInvitations(id: string, paging: Paging = {}): Promise<Page<api.Invitation>> {
    return this.get(path`/v1/channels/${id}/invitations`, paging);
  }
  listBans(id: string, paging: Paging = {}): Promise<Page<api.Ban>> {
    return this.get(path`/v1/channels/${id}/bans`, paging);
  }
  banUser(id: string, userID: string): Promise<void> {
    return this.request("PUT", path`/v1/channels/${id}/bans/${userID}`);
  }
  unbanUser(id: string, userID: string): Promise<void> {
    return this.request("DELETE", path`/v1/channels/${id}/bans/${userID}`);
  }

  // Invitations.

  listInvitations(query: Paging & { readonly sent?: boolean } = {}): Promise<Page<api.Invitation>> {
    return this.get("/v1/invitations", query);
  }
  acceptInvitation(id: string): Promise<void> {
    return this.request("POST", path`/v1/invitations/${id}/accept`);
  }
  declineInvitation(id: string): Promise<void> {
    return this.request("POST", path`/v1/invitations/${id}/decline`);
  }
  withdrawInvitation(id: string): Promise<void> {
    return this.request("DELETE", path`/v1/invitations/${id}`);
  }

  // Messages.

  listMessages(id: string, query: MessageQuery = {}): Promise<Page<api.Message>> {
    return this.get(path`/v1/channels/${id}/messages`, query);
  }
  /** Sends a message without a WebSocket. A chat page should use `channel.send` instead. */
  sendMessage(id: string, message: api.MessageCreation): Promise<api.Ack> {
    return this.request("POST", path`/v1/channels/${id}/messages`, message);
  }
  listEvents(id: string, query: Paging & { readonly after_seq?: number } = {}): Promise<Page<api.Event>> {
    return this.get(path`/v1/channels/${id}/events`, query);
  }
  /** Lists the messages that changed between two points. Pass the same points with each cursor. */
  listChanges(id: string, query: Paging & { readonly from_seq: number; readonly to_seq: number }): Promise<Page<api.MessageChange>> {
    return this.get(path`/v1/channels/${id}/changes`, query);
  }
  /**
   * Removes other users' reactions: all of them, or those that match the query. Only owners and
   * admins may do this. Each call removes at most 100 reactions.
   */
  removeReactions(id: string, messageID: string, query: { readonly emoji?: string; readonly user_id?: string } = {}): Promise<api.ReactionsRemoved> {
    return this.request("DELETE", withQuery(path`/v1/channels/${id}/messages/${messageID}/reactions`, query));
  }
  listReceipts(id: string, messageID: string, paging: Paging = {}): Promise<api.Receipts> {
    return this.get(path`/v1/channels/${id}/messages/${messageID}/receipts`, paging);
  }
  moveCursor(id: string, move: api.CursorMove): Promise<api.MemberCursor> {
    return this.request("PUT", path`/v1/channels/${id}/cursor`, move);
  }
}
