CREATE INDEX documents_created ON documents (created_at DESC NULLS LAST) WHERE verified;
CREATE INDEX documents_lower ON documents (lower(title), source);
CREATE INDEX documents_odd ON documents USING gin (odd jsonb_path_ops);
REFRESH MATERIALIZED VIEW per_source;
