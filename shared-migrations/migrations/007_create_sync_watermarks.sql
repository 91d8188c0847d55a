-- One row per partition, with its watermark: every entry with an id at or below (entry_ms,
-- entry_seq) is stored and acknowledged. A watermark is never lowered. Each transaction that stores
-- events first locks the row of its partition.
create table sync_watermarks (
  partition  integer     primary key check (partition >= 0),
  entry_ms   bigint      not null default 0,
  entry_seq  bigint      not null default 0,
  updated_at timestamptz not null default now()
);

grant select, insert, update on sync_watermarks to parley_sync;
grant select on sync_watermarks to parley_ws, parley_chat;

---- create above / drop below ----

drop table sync_watermarks;
