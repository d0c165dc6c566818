"use strict";
// Tables of class "sortable" can be sorted by a click on a heading; without a script they read as they stand.
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent.trim()) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent.trim();
      const numeric = head.classList.contains("n") || head.classList.contains("z");
      const compare = (a, b) => {
        if (!numeric) return value(a).localeCompare(value(b));
        const [x, y] = [parseFloat(value(a)), parseFloat(value(b))];
        if (isNaN(x) || isNaN(y)) return (isNaN(x) ? 1 : 0) * (down ? -1 : 1) - (isNaN(y) ? 1 : 0) * (down ? -1 : 1);
        return x - y;
      };
      const rows = [...table.tBodies[0].rows].sort(compare);
      table.tBodies[0].append(...(down ? rows.reverse() : rows));
    });
  });
}
