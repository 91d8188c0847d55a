package receipt

import (
	"context"

	"parley.chat/internal/eventlog/receiptlog"
	"parley.chat/shared-contracts/chat"

	"parley.chat/chat-service/internal/api"
	"parley.chat/chat-service/internal/channel"
	"parley.chat/chat-service/internal/httpapi"
)

// MoveCursor handles PUT /v1/channels/{id}/cursor.
func (s *Service) MoveCursor(ctx context.Context, in api.MoveCursorRequestObject) (api.MoveCursorResponseObject, error) {
	user := httpapi.UserOf(ctx).UserID
	if _, err := channel.Admit(ctx, s.db, in.ID, user); err != nil {
		return nil, err
	}
	var to receiptlog.Receipt
	if in.Body.ReadSeq != nil {
		to.Read = *in.Body.ReadSeq
	}
	to.Delivered = to.Read // a read message has also been delivered
	if in.Body.DeliveredSeq != nil {
		to.Delivered = max(to.Read, *in.Body.DeliveredSeq)
	}
	at, err := s.move(ctx, in.ID, user, to)
	if err != nil {
		return nil, err
	}
	return api.MoveCursor200JSONResponse{DeliveredSeq: at.Delivered, ReadSeq: at.Read}, nil
}

// listReceipts is the operation name that the cursors of the receipt list contain.
const listReceipts = "listReceipts"

// position is the last member of a page; the next page begins after it.
type position struct {
	ID chat.UserID `json:"i"`
}

// ListReceipts handles GET /v1/channels/{id}/messages/{message_id}/receipts.
func (s *Service) ListReceipts(ctx context.Context, in api.ListReceiptsRequestObject) (api.ListReceiptsResponseObject, error) {
	mark, err := channel.AdmitReader(ctx, s.db, s.log, in.ID, httpapi.UserOf(ctx).UserID)
	if err != nil {
		return nil, err
	}
	var after position
	if _, err := httpapi.DecodeCursor(listReceipts, in.Params.Cursor, &after); err != nil {
		return nil, err
	}
	t, err := s.find(ctx, in.ID, in.MessageID, mark)
	if err != nil {
		return nil, err
	}
	n, list, next, err := s.receipts(ctx, in.ID, t, httpapi.UserOf(ctx).UserID, after.ID, httpapi.Limit(in.Params.Limit))
	if err != nil {
		return nil, err
	}
	page := api.ListReceipts200JSONResponse{
		MessageID: in.MessageID, Seq: t.Seq, MemberCount: n.Members, DeliveredCount: n.Delivered, ReadCount: n.Read, Items: list,
	}
	if next != nil {
		page.NextCursor = httpapi.Cursor(listReceipts, position{*next})
	}
	return page, nil
}
