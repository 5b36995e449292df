"""Before and after, side by side: pictures in one web page that needs nothing else, clips in one clip.

sources  ->  picture  ->  measure  ->  page (page.html, colours.css, page.css, page.js)
             side_by_side, for clips
"""
