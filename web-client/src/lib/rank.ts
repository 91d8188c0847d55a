/**
 * Ranks titles by how well they match a query. Titles that start with the query come first, then
 * titles with a word that starts with the query, then titles that contain the query. Titles that
 * contain the query's letters in order come last.
 */

export function rankTitles<T>(items: readonly T[], titleOf: (item: T) => string, query: string, max: number): readonly T[] {
  const wanted = query.trim().toLowerCase();
  return items
    .map((item) => ({ item, score: scoreOf(titleOf(item).toLowerCase(), wanted) }))
    .filter(({ score }) => score < Infinity)
    .sort((a, b) => a.score - b.score)
    .slice(0, max)
    .map(({ item }) => item);
}

function scoreOf(title: string, wanted: string): number {
  const at = title.indexOf(wanted);
  if (at === 0) {
    return 0;
  }
  if (at > 0) {
    return /[\s_.-]/.test(title[at - 1] ?? "") ? 1 : 2;
  }
  let from = 0;
  for (const letter of wanted) {
    from = title.indexOf(letter, from) + 1;
    if (from === 0) {
      return Infinity;
    }
  }
  return 3;
}
