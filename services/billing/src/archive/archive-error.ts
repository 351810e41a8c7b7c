/** What the archive should hold and does not, in words for an operator. Names days and segments, never what is in them. */
export class ArchiveError extends Error {
  override name = 'ArchiveError'
}
