/**
 * The data-testid of each control that the browser tests use. They are the page's contract with the
 * tests: texts and classes may change, but these values may not.
 *
 * Some elements have further attributes: `channel-link` has data-channel-id and, if there are
 * unread messages, data-unread and data-mentions; `message` has data-seq, data-message-id and
 * data-mine; `tick` has data-status (pending, sent, delivered, read, failed); `connection` has
 * data-state (the SDK's name for the state); `message-list` has data-rows, the number of rows
 * including those that are not in the document.
 */
export const testids = {
  // Signing in
  signIn: "sign-in",
  modeSwitch: "mode-switch",
  username: "username",
  login: "login",
  email: "email",
  password: "password",
  submit: "submit",
  formError: "form-error",

  // The frame around the chat
  sidebar: "sidebar",
  channelLink: "channel-link",
  invitation: "invitation",
  acceptInvitation: "accept-invitation",
  declineInvitation: "decline-invitation",
  foldSection: "fold-section",
  unreadBadge: "unread-badge",
  mentionBadge: "mention-badge",
  createChannel: "create-channel",
  browseChannels: "browse-channels",
  joinChannel: "join-channel",
  newDirect: "new-direct",
  openSwitcher: "open-switcher",
  openSettings: "open-settings",
  openContacts: "open-contacts",
  openGroups: "open-groups",
  connection: "connection",
  retryNow: "retry-now",
  back: "back",
  channelTitle: "channel-title",
  toggleMembers: "toggle-members",
  shareLink: "share-link",
  channelSettings: "channel-settings",

  // Joining
  joinPage: "join-page",
  joinButton: "join-button",
  joinField: "join-field",

  // Messages
  messageList: "message-list",
  message: "message",
  messageBody: "message-body",
  newLine: "new-line",
  daySeparator: "day-separator",
  tick: "tick",
  react: "react",
  quickReaction: "quick-reaction",
  reaction: "reaction",
  emojiField: "emoji-field",
  reply: "reply",
  replyPreview: "reply-preview",
  quote: "quote",
  edit: "edit",
  editField: "edit-field",
  editSave: "edit-save",
  remove: "delete",
  confirmDelete: "confirm-delete",
  copyLink: "copy-link",
  receipts: "receipts",
  retrySend: "retry-send",
  discardSend: "discard-send",
  jumpToNewest: "jump-to-newest",
  messagesMissing: "messages-missing",
  typing: "typing",
  composer: "composer",
  send: "send",
  liveLog: "live-log",
  toast: "toast",

  // Members
  members: "members",
  member: "member",
  memberRole: "member-role",
  mentionAll: "mention-all",
  removeMember: "remove-member",
  confirmRemove: "confirm-remove",
  alsoBan: "also-ban",
  addMember: "add-member",
  closeMembers: "close-members",

  // Dialogs
  dialog: "dialog",
  dialogClose: "dialog-close",
  channelName: "channel-name",
  channelTopic: "channel-topic",
  channelKind: "channel-kind",
  userSearch: "user-search",
  userResult: "user-result",
  browseSearch: "browse-search",
  browseResult: "browse-result",
  switcherField: "switcher-field",
  switcherResult: "switcher-result",
  leaveChannel: "leave-channel",
  deleteChannel: "delete-channel",
  displayName: "display-name",
  sessionRow: "session",
  revokeSession: "revoke-session",
  revokeOtherSessions: "revoke-other-sessions",
  language: "language",
  theme: "theme",
  allowNotifications: "allow-notifications",
  logOut: "log-out",
} as const;
