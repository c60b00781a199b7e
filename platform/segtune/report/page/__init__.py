"""How the page looks, whatever a study found: its layout, its figures' style, its tables and files.

files            Tables and figures as files for papers: CSV, LaTeX and Markdown; SVG, PDF and PNG.
label_positions  Where to write names next to points so that they do not cover one another.
look             Colours and the common style of all figures.
page             What a section of the page is made of, and one HTML file out of sections.
sheet            A table of the page, and the numbers behind it.
text             Numbers and settings as words.

Nothing here knows a study: parts of the page hand over what is to be shown.
"""
