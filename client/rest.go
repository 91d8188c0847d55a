package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"parley.chat/shared-contracts/apierr"
	"parley.chat/shared-contracts/chat"
	"parley.chat/shared-contracts/frame"
)

const (
	requestTimeout = 30 * time.Second
	maxResponse    = 32 << 20 // in bytes; enough for 200 messages of maximum length in which every character is escaped
	// PageSize is the number of items requested per page. It is the maximum that the server allows.
	PageSize = 200
)

// API is a client for the part of the REST API that chat clients need. Its methods return an *Error
// if the server refuses the request. It is safe for concurrent use.
type API struct {
	base   string
	tokens TokenSource // nil if requests are sent without a token
	http   *http.Client
}

// NewAPI returns an API for the server at http(s)://host. If httpClient is nil, NewAPI creates one.
func NewAPI(server string, tokens TokenSource, httpClient *http.Client) (*API, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, errors.New("client: the server is not a URL like http://localhost:8080")
	}
	if httpClient == nil {
		httpClient = &http.Client{Timeout: requestTimeout}
	}
	return &API{base: strings.TrimSuffix(server, "/"), tokens: tokens, http: httpClient}, nil
}

// call sends a request and decodes the response into answer. body and answer may be nil. If the
// server rejects the token, call renews it once and repeats the request.
func (a *API) call(ctx context.Context, method, path string, body, answer any) error {
	var payload []byte
	if body != nil {
		var err error
		if payload, err = json.Marshal(body); err != nil {
			return fmt.Errorf("%s %s: %w", method, path, err)
		}
	}
	rejected := ""
	for {
		token := ""
		if a.tokens != nil {
			t, err := a.tokens.Token(ctx, rejected)
			if err != nil {
				return err
			}
			token = t.Access
		}
		err := a.once(ctx, method, path, token, payload, answer)
		if e, ok := errors.AsType[*Error](err); ok && e.Code == apierr.Unauthenticated && token != "" && rejected == "" {
			rejected = token
			continue
		}
		return err
	}
}

func (a *API) once(ctx context.Context, method, path, token string, payload []byte, answer any) error {
	req, err := http.NewRequestWithContext(ctx, method, a.base+path, bytes.NewReader(payload))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if payload != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxResponse))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		return problem(resp, b)
	}
	if answer == nil {
		return nil
	}
	if err := json.Unmarshal(b, answer); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

// problem returns the error described by a problem document. If the body is not a problem document,
// for example because a proxy responded, it derives the error from the status.
func problem(resp *http.Response, body []byte) *Error {
	var p struct {
		Code   apierr.Code         `json:"code"`
		Detail string              `json:"detail"`
		Errors []apierr.FieldError `json:"errors"`
	}
	_ = json.Unmarshal(body, &p) // on failure the code is empty
	e := &Error{Code: p.Code, Message: p.Detail, Fields: p.Errors}
	if s, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.RetryAfter = time.Duration(s) * time.Second
	}
	if e.Code != "" {
		return e
	}
	e.Message = resp.Status
	switch {
	case resp.StatusCode == http.StatusUnauthorized:
		e.Code = apierr.Unauthenticated
	case resp.StatusCode == http.StatusTooManyRequests:
		e.Code = apierr.RateLimited
	case resp.StatusCode >= http.StatusInternalServerError:
		e.Code = apierr.Unavailable
	default:
		e.Code = apierr.InvalidRequest
	}
	return e
}

// Channel describes a channel as one of its members sees it.
type Channel struct {
	ID       chat.ChannelID   `json:"id"`
	Name     string           `json:"name"`
	Kind     chat.ChannelKind `json:"kind"`
	Members  int              `json:"member_count"`
	LastSeq  int64            `json:"last_seq"`
	ReadSeq  int64            `json:"last_read_seq"`
	Unread   int              `json:"unread"`
	Mentions int              `json:"unread_mentions"`
	Peer     *struct {
		UserID   chat.UserID `json:"user_id"`
		Username string      `json:"username"`
	} `json:"peer"` // the other user in a direct channel
}

// Message is a message with edits, deletion and reactions applied. It shows the current state, or
// the state at the point that a HistoryOption sets.
type Message struct {
	ID         chat.EventID   `json:"id"`
	ChannelID  chat.ChannelID `json:"channel_id"`
	Seq        int64          `json:"seq"`
	ClientID   chat.ClientID  `json:"client_id"`
	SenderID   chat.UserID    `json:"sender_id"`
	SenderName string         `json:"sender_name"`
	Body       string         `json:"body"`
	ReplyTo    chat.EventID   `json:"reply_to"`
	Mentions   []chat.UserID  `json:"mentions"`
	SentAt     chat.Time      `json:"sent_at"`
	EditedAt   chat.Time      `json:"edited_at"`
	DeletedAt  chat.Time      `json:"deleted_at"`
	Reactions  []Reaction     `json:"reactions"`
}

// Reaction is an emoji with which users have reacted to a message. Users contains at most 20 of
// them.
type Reaction struct {
	Emoji string        `json:"emoji"`
	Count int           `json:"count"`
	Users []chat.UserID `json:"user_ids"`
}

// MessageChange is the difference between a message at two points.
type MessageChange struct {
	Message          Message    `json:"message"` // at the later point
	Created          bool       `json:"created"`
	Edited           bool       `json:"edited"` // false for a deleted message
	Deleted          bool       `json:"deleted"`
	ReactionsAdded   []Reaction `json:"reactions_added"`
	ReactionsRemoved []Reaction `json:"reactions_removed"`
}

// page is one page of a list.
type page[T any] struct {
	Items []T     `json:"items"`
	Next  *string `json:"next_cursor"`
}

// all reads all pages of a list.
func all[T any](ctx context.Context, a *API, path string) ([]T, error) {
	var items []T
	for query := ""; ; {
		var p page[T]
		if err := a.call(ctx, http.MethodGet, path+query, nil, &p); err != nil {
			return nil, err
		}
		items = append(items, p.Items...)
		if p.Next == nil {
			return items, nil
		}
		query = "&cursor=" + url.QueryEscape(*p.Next)
	}
}

// CreateChannel creates a channel; the user becomes its owner.
func (a *API) CreateChannel(ctx context.Context, name string, kind chat.ChannelKind) (Channel, error) {
	var ch Channel
	err := a.call(ctx, http.MethodPost, "/v1/channels", map[string]any{"name": name, "kind": kind}, &ch)
	return ch, err
}

// JoinChannel joins a channel that is open to anyone who knows its id.
func (a *API) JoinChannel(ctx context.Context, id chat.ChannelID) (Channel, error) {
	var ch Channel
	err := a.call(ctx, http.MethodPost, "/v1/channels/"+id.String()+"/join", nil, &ch)
	return ch, err
}

// LeaveChannel leaves a channel.
func (a *API) LeaveChannel(ctx context.Context, id chat.ChannelID) error {
	return a.call(ctx, http.MethodPost, "/v1/channels/"+id.String()+"/leave", nil, nil)
}

// Invitation is the user's open invitation to a channel or a group.
type Invitation struct {
	ID        chat.InvitationID `json:"id"`
	ChannelID *chat.ChannelID   `json:"channel_id"`
	GroupID   *chat.GroupID     `json:"group_id"`
	Name      string            `json:"name"`
	By        chat.UserID       `json:"invited_by"`
	ByName    string            `json:"invited_by_name"`
}

// Invitations returns the user's open invitations, newest first.
func (a *API) Invitations(ctx context.Context) ([]Invitation, error) {
	return all[Invitation](ctx, a, "/v1/invitations?limit="+strconv.Itoa(PageSize))
}

// AcceptInvitation accepts an invitation; the user becomes a member.
func (a *API) AcceptInvitation(ctx context.Context, id chat.InvitationID) error {
	return a.call(ctx, http.MethodPost, "/v1/invitations/"+id.String()+"/accept", nil, nil)
}

// DeclineInvitation declines an invitation.
func (a *API) DeclineInvitation(ctx context.Context, id chat.InvitationID) error {
	return a.call(ctx, http.MethodPost, "/v1/invitations/"+id.String()+"/decline", nil, nil)
}

// MyChannels returns the user's channels with their unread counts.
func (a *API) MyChannels(ctx context.Context) ([]Channel, error) {
	return all[Channel](ctx, a, "/v1/channels?mine=true&limit="+strconv.Itoa(PageSize))
}

// OpenDirect returns the direct channel with a user. It creates the channel if necessary.
func (a *API) OpenDirect(ctx context.Context, with chat.UserID) (Channel, error) {
	var ch Channel
	err := a.call(ctx, http.MethodPost, "/v1/dms", map[string]any{"user_id": with}, &ch)
	return ch, err
}

// FindUsers returns the first page of users whose names begin with prefix.
func (a *API) FindUsers(ctx context.Context, prefix string) ([]User, error) {
	var p page[User]
	err := a.call(ctx, http.MethodGet, "/v1/users?query="+url.QueryEscape(prefix), nil, &p)
	return p.Items, err
}

// HistoryOption sets the point of the history that Newest, Before and After show.
type HistoryOption func(url.Values)

// AsOfSeq shows the messages as they were when the event with the given seq was the newest.
// Messages that were deleted later are shown as deleted. A version of a message that had already
// been replaced when the user joined has an empty body.
func AsOfSeq(seq int64) HistoryOption {
	return func(query url.Values) { query.Set("as_of_seq", strconv.FormatInt(seq, 10)) }
}

// AsOf is like AsOfSeq, with the newest message, edit, deletion or reaction at a time.
func AsOf(t time.Time) HistoryOption {
	return func(query url.Values) { query.Set("as_of", t.UTC().Format(time.RFC3339Nano)) }
}

// Newest returns the newest messages in a channel, oldest first. limit is at most PageSize.
func (a *API) Newest(ctx context.Context, id chat.ChannelID, limit int, options ...HistoryOption) ([]Message, error) {
	return a.messages(ctx, id, url.Values{}, limit, options)
}

// Before returns the newest messages before a seq, oldest first. limit is at most PageSize.
func (a *API) Before(ctx context.Context, id chat.ChannelID, seq int64, limit int, options ...HistoryOption) ([]Message, error) {
	return a.messages(ctx, id, url.Values{"before_seq": {strconv.FormatInt(seq, 10)}}, limit, options)
}

// After returns the first messages after a seq, oldest first. limit is at most PageSize.
func (a *API) After(ctx context.Context, id chat.ChannelID, seq int64, limit int, options ...HistoryOption) ([]Message, error) {
	return a.messages(ctx, id, url.Values{"after_seq": {strconv.FormatInt(seq, 10)}}, limit, options)
}

func (a *API) messages(ctx context.Context, id chat.ChannelID, query url.Values, limit int, options []HistoryOption) ([]Message, error) {
	query.Set("limit", strconv.Itoa(limit))
	for _, set := range options {
		set(query)
	}
	var p page[Message]
	err := a.call(ctx, http.MethodGet, "/v1/channels/"+id.String()+"/messages?"+query.Encode(), nil, &p)
	return p.Items, err
}

// Changes returns the messages that are different at the seq to than at the seq from, in the order
// of their first change. It reads all pages; the number of requests grows with the number of events
// between the two points.
func (a *API) Changes(ctx context.Context, id chat.ChannelID, from, to int64) ([]MessageChange, error) {
	return all[MessageChange](ctx, a, fmt.Sprintf("/v1/channels/%s/changes?from_seq=%d&to_seq=%d&limit=%d", id, from, to, PageSize))
}

// RemoveReactions removes other users' reactions to a message. Only the channel's owners and admins
// may do so. emoji and user select the reactions to remove; "" matches any emoji, and zero matches
// any user. One call removes up to 100 reactions; more is true if reactions remain.
func (a *API) RemoveReactions(ctx context.Context, id chat.ChannelID, message chat.EventID, emoji string, user chat.UserID) (removed int, more bool, err error) {
	query := url.Values{}
	if emoji != "" {
		query.Set("emoji", emoji)
	}
	if !user.IsZero() {
		query.Set("user_id", user.String())
	}
	var out struct {
		Removed int  `json:"removed"`
		More    bool `json:"more"`
	}
	err = a.call(ctx, http.MethodDelete, "/v1/channels/"+id.String()+"/messages/"+message.String()+"/reactions?"+query.Encode(), nil, &out)
	return out.Removed, out.More, err
}

// Events returns the first events after a seq in a channel's log, in order. It returns up to
// PageSize events.
func (a *API) Events(ctx context.Context, id chat.ChannelID, after int64) ([]frame.Event, error) {
	var p page[frame.Event]
	err := a.call(ctx, http.MethodGet, fmt.Sprintf("/v1/channels/%s/events?after_seq=%d&limit=%d", id, after, PageSize), nil, &p)
	return p.Items, err
}

// Receipts returns receipt counts for a message: the number of other members who have received it,
// the number who have read it, and the total number of other members.
func (a *API) Receipts(ctx context.Context, id chat.ChannelID, message chat.EventID) (delivered, read, members int, err error) {
	var r struct {
		Members   int `json:"member_count"`
		Delivered int `json:"delivered_count"`
		Read      int `json:"read_count"`
	}
	err = a.call(ctx, http.MethodGet, fmt.Sprintf("/v1/channels/%s/messages/%s/receipts?limit=1", id, message), nil, &r)
	return r.Delivered, r.Read, r.Members, err
}
