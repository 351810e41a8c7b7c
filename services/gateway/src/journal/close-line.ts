/**
 * The JSON of a CLOSE begins with its place in the series, in fixed order, so that its number is read without parsing the
 * event: `{"gateway_id":"gw_…","epoch":3,"partition":5,"seq":1234,"event_id":…`.
 */
export function closeLine(prefix: string, partition: number, seq: number, draftJson: string): string {
  return `${prefix}${partition},"seq":${seq},${draftJson.slice(1)}`
}

/** What every CLOSE of an epoch begins with. */
export function closePrefix(gatewayId: string, epoch: number): string {
  return `{"gateway_id":${JSON.stringify(gatewayId)},"epoch":${epoch},"partition":`
}

/** Where a CLOSE stands in its series. `prefixBytes`: the length of the epoch's {@link closePrefix}. */
export function placeOfLine(json: Buffer, prefixBytes: number): { partition: number; seq: number } {
  const end = json.indexOf(',', json.indexOf(',', prefixBytes) + 1)
  const [partition, seq] = json.toString('latin1', prefixBytes, end).split(',"seq":')
  return { partition: Number(partition), seq: Number(seq) }
}
